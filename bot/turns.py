"""Whose turn it is: the fair order of the queue, as SQL that runs unchanged on SQLite and Postgres.

Turns are start-time fair queueing (Goyal, Vin, Cheng 1996) with one unit a job. A user's jobs stand at least one turn
apart, and within a turn users are served in the order of their ids. So between two jobs of one user everybody else is
served once at most, and newcomers stand behind the head of the queue: nobody ever overtakes the head.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    ScalarSelect,
    Select,
    String,
    TextClause,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from bot.models import QUEUED, RUNNING, STARTED, Job, JobStatus

LOOK_AHEAD = 32
"""How far behind the head of the queue a claim looks for jobs that can share its batch."""
PACE_SAMPLE = 20
"""How many finished jobs the estimate of the time left is made from."""


@dataclass(frozen=True)
class Position:
    """A queued job's place: how many are served before it, and seconds until it is done (None: not measured yet)."""

    ahead: int
    seconds: float | None


_ORDER = (Job.turn, Job.user_id, Job.id)
_STARTED = (JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED)


def next_turn(user_id: ColumnElement[int]) -> ScalarSelect[float]:
    """The turn of a user's next job: one after the last of the user's own, but never before the head of the queue.

    A held job has no turn of its own until it is released. One that is tried again keeps its turn, which may be long
    past, and so it does not tell which turn is being served.
    """
    behind_head = Job.turn + case((Job.user_id < user_id, 0.0), else_=1.0)
    head = select(behind_head).where(text(QUEUED), Job.attempts == 0).order_by(*_ORDER).limit(1).scalar_subquery()
    served = _largest(_last(Job.status == status, text(STARTED)) for status in _STARTED)
    own = [_last(Job.user_id == user_id, Job.status == status) for status in _STARTED]
    own.append(_last(Job.user_id == user_id, Job.status == JobStatus.QUEUED, Job.held_at.is_(None)))
    return _largest([func.coalesce(head, served), _largest(own) + 1])


def candidates() -> Select[int]:
    """The ids of the jobs that `JobQueue.claim` takes; has the parameters ``now``, ``capacity`` and ``joining``."""
    joining, capacity = bindparam("joining", type_=String), bindparam("capacity", type_=Integer)
    due = Job.not_before <= bindparam("now", type_=Double)
    waiting = select(*_ORDER, Job.batch_key, Job.attempts, Job.samples).where(text(QUEUED), due)
    waiting = waiting.order_by(*_ORDER).limit(LOOK_AHEAD).cte("waiting")
    order = (waiting.c.turn, waiting.c.user_id, waiting.c.id)
    head = select(waiting).order_by(*order).limit(1).cte("head")
    never_tried = and_(waiting.c.attempts == 0, head.c.attempts == 0)
    total = func.sum(waiting.c.samples).over(order_by=order).label("total")
    together = (
        select(waiting.c.id, total, (waiting.c.id == head.c.id).label("is_head"))
        .join(head, or_(waiting.c.id == head.c.id, and_(waiting.c.batch_key == head.c.batch_key, never_tried)))
        .where(or_(joining.is_(None), and_(head.c.batch_key == joining, head.c.attempts == 0)))
        .cte("together")
    )
    fits = or_(together.c.total <= capacity, and_(together.c.is_head, joining.is_(None)))
    # Postgres looks at the status again when it has the row's lock.
    candidate = select(Job.id).join(together, together.c.id == Job.id).where(fits, text("status = 'queued'"))
    return select(candidate.with_for_update(skip_locked=True, of=Job).cte("candidate").c.id)


async def position_of(session: AsyncSession, job: Job) -> Position:
    """The place of a job, and the time left: the steps before it and its own, at the measured pace of their kinds."""
    left = func.sum((Job.steps - Job.step) * Job.samples)
    work = select(Job.batch_key, func.count(), left).group_by(Job.batch_key)
    running = text(RUNNING)
    before = _is_before(job) if job.status == JobStatus.QUEUED else false()
    waiting = (await session.execute(work.where(before))).all()
    painted = (await session.execute(work.where(running, Job.id != job.id))).all()
    painters = await session.scalar(select(func.count(Job.worker_id.distinct())).where(running)) or 1
    seconds = await _seconds(session, job.batch_key, (job.steps - job.step) * job.samples)
    for batch_key, _, steps in (*waiting, *painted):
        more = await _seconds(session, batch_key, steps)
        seconds = None if seconds is None or more is None else seconds + more / painters
    return Position(sum(count for _, count, _ in waiting), seconds)


def _is_before(job: Job) -> ColumnElement[bool]:
    place = tuple_(literal(job.turn), literal(job.user_id, Job.user_id.type), literal(job.id, Job.id.type))
    return and_(text(QUEUED), tuple_(*_ORDER) < place)


async def _seconds(session: AsyncSession, batch_key: str, steps: int) -> float | None:
    """How long so many denoising steps of one sample take; None before the first job of this kind has succeeded."""
    last = select(Job.busy_seconds, Job.steps * Job.samples)
    last = last.where(Job.batch_key == batch_key, Job.finished_at.is_not(None), Job.status == JobStatus.SUCCEEDED)
    rows = (await session.execute(last.order_by(Job.finished_at.desc()).limit(PACE_SAMPLE))).all()
    measured = sum(taken for _, taken in rows)
    return float(steps) * sum(seconds or 0.0 for seconds, _ in rows) / measured if measured else None


def _last(*conditions: ColumnElement[bool] | TextClause) -> ScalarSelect[float]:
    return select(Job.turn).where(*conditions).order_by(Job.turn.desc()).limit(1).scalar_subquery()


def _largest(turns: Iterable[ColumnElement[float]]) -> ScalarSelect[float]:
    """The largest, or 0; SQLite and Postgres have no common function for it that ignores NULL."""
    rows = union_all(*(select(func.coalesce(turn, 0.0).label("turn")) for turn in turns)).subquery()
    return select(func.max(rows.c.turn)).scalar_subquery()
