"""The durable, fair queue; with `leases` the only module that changes a job's status."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    case,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from limner.bot.errors import ClickedTwice, NotFound, QueueFull
from limner.bot.queue import transitions
from limner.bot.queue.candidates import (
    LONGEST_PAUSE,
    next_turn,
    pass_over,
    read_others,
    read_waiting,
    take_room,
    write_accounts,
)
from limner.bot.queue.enqueue import Asking, NewJob, NotTaken, count_open, insert_rows, keep_references, row
from limner.bot.queue.fairness import Waiting, WorkerCapacity, choose, fair_order, settle
from limner.bot.queue.leases import JobLeases
from limner.bot.reasons import OPEN, Action, EndCode, HoldReason, JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.history.gallery import mark_upscaled
from limner.bot.storage.tables.models import (
    HELD,
    RUNNING,
    AnswerToken,
    Image,
    Job,
    PreviewRow,
    Seen,
)
from limner.bot.storage.together import Together
from limner.bot.translation import N_, _, english, ngettext
from limner.generators.base import Expansion

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""The pause before a second attempt; it doubles with each one."""
LOOK_SECONDS = 2.0
"""The pause before unclassified pictures are classified again."""
UNLIMITED = 2**31 - 1

ON_ITS_WAY = N_("Request {job} is on its way already; press again if you want another one.")
EXPIRED = N_("Nobody chose between Keep, Edit and Raw in time, so nothing was painted; ask again when you like.")
YOUR_LIMIT = N_(
    "You have {limit} waiting or running, which is the most allowed; wait for one to finish or stop one with /cancel."
)
SERVER_LIMIT = N_("This server has {limit} waiting or running, which is the most allowed; try again soon.")


@dataclass(frozen=True)
class StoredPicture:
    """A stored picture of a finished job."""

    sha256: str
    width: int
    height: int
    size: int
    seed: int
    #: The classifier's result; None if it could not run.
    seen: Seen | None = None
    nearness: float | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As a row of `models.Image`."""
        own = {name: value for name, value in vars(self).items() if name != "seen"}
        return own | (vars(self.seen) if self.seen else dict.fromkeys(field.name for field in fields(Seen)))


class JobQueue(JobLeases):
    """Jobs as rows: enqueue, claim, finish. Every method is one short transaction.

    The rows themselves are in `rows`, questions about them in `reads`, and lost workers in `leases`.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease_seconds: float = 15.0,
        max_attempts: int = 3,
        server_weights: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(database, lease_seconds, max_attempts, server_weights or {})
        self._enqueuing = Together(self._enqueue_together)
        self._attaching = Together(self._attach_together)

    async def enqueue(self, new: NewJob, *, per_user: int | None = None, per_guild: int | None = None) -> Job:
        """Accept a request: one INSERT, which also counts open jobs and assigns the turn (see `fairness`).

        It is on the disk when this returns. Requests that come at the same moment are written together.

        Raises:
            QueueFull: the user or the server has too many open jobs; nothing was written.
            ClickedTwice: the same click made a request a moment before (see `NewJob.click_key`); nothing was written.
        """
        asking = Asking(new, per_user or UNLIMITED, per_guild or UNLIMITED)
        job = await self._enqueuing.ask(asking)
        if isinstance(job, NotTaken):
            if job.clicked_id:
                raise ClickedTwice(_(ON_ITS_WAY, job=job.clicked_id))
            raise _queue_full(job.mine, asking.per_user, asking.per_guild)
        log.info("job_queued job=%s guild=%s", job.id, job.guild_id)
        return _without_images(job)

    async def check_room(self, user_id: int, guild_id: int | None, *, per_user: int, per_guild: int) -> None:
        """Raise QueueFull if `enqueue` would; nothing is reserved, so `enqueue` may still raise it."""
        async with self.database.read() as session:
            mine = await session.scalar(count_open(Job.user_id == user_id)) or 0
            servers = await session.scalar(count_open(Job.guild_id == guild_id)) or 0
        if mine >= per_user or servers >= per_guild:
            raise _queue_full(mine, per_user, per_guild)

    async def log_refusal(self, new: NewJob, code: str, reason: str) -> Job:
        """Store a request that was refused before acceptance; the requester has the answer already."""
        ended = {
            "status": JobStatus.REFUSED,
            "reason_code": code,
            "reason": english(reason),
            "turn": 0.0,
            "click_key": None,
        }
        times = dict.fromkeys(("finished_at", "delivered_at"), time.time())
        async with self.database.begin() as session:
            rows = await session.scalars(insert(Job).values(**row(new) | ended | times).returning(Job))
            job = rows.one()
            await keep_references(session, job)
        log.info("job_refused job=%s code=%s", job.id, code)
        return job

    async def attach_message(
        self, job_id: int, message_id: int, answer: transitions.InteractionToken | None = None
    ) -> None:
        """Store the placeholder message of a job, and the interaction that it answers.

        It rings ``changed`` in this process unless the job still waits: then its message is up to date. After a power
        cut delivery finds the message by its buttons.
        """
        await self._attaching.ask((job_id, message_id, answer))

    async def claim(
        self,
        worker_id: str,
        *,
        capacity: int,
        painting: str | None = None,
        loaded: Collection[str] = (),
        per_user: float = math.inf,
        in_flight: Mapping[int, int] | None = None,
    ) -> Sequence[Job]:
        """Claim the next jobs in fair order that can be painted together (see `fairness.choose`).

        Args:
            worker_id: the claiming worker.
            capacity: the worker's free pixels; an idle worker may get one oversized job.
            painting: the weights key of its batch; it gets no job of other weights.
            loaded: the weights keys in its memory.
            per_user: most pixels of one user at a time, except for a single job.
            in_flight: pixels of each user whose jobs it has.
        """
        now = await self.database.now()
        worker = WorkerCapacity(
            room=capacity, painting=painting, loaded=loaded, per_user=per_user, in_flight=in_flight or {}
        )
        async with self.database.begin() as session:
            await self.database.lock(session, "limner.claim")
            waiting, ledger = await read_waiting(session, self._server_weights, now)
            order = fair_order(waiting, ledger)
            are_new = any(job.is_new(now) for job in order)
            others = await read_others(session, worker_id, now - self._lease_seconds) if are_new else []
            choice = choose(order, worker, others, now)
            taken = await self._take(session, worker_id, choice.taken, now)
            if taken:
                charged = [job for job in choice.taken if job.id in taken]
                await write_accounts(session, settle(order, charged, ledger), {job.server_id for job in charged})
                await pass_over(session, [job.id for job in choice.passed], now)
                await take_room(session, worker_id, worker, charged)
                await self._announce(session, self.changed)
        for job in taken.values():
            log.info("job_claimed job=%s worker=%s attempt=%s", job.id, worker_id, job.attempts)
        return [_without_images(taken[job.id]) for job in choice.taken if job.id in taken]

    async def record_steps(self, worker_id: str, steps: Mapping[int, int]) -> None:
        """Store how many steps the worker's jobs have taken."""
        if steps:
            mine = transitions.running(worker_id).where(Job.id.in_(list(steps)))
            taken = mine.values(step=case(steps, value=Job.id))
            await self._update(taken, self.changed, survives_power_cut=False)

    async def save_preview(self, worker_id: str, job_id: int, step: int, image: bytes, seen: Seen) -> None:
        """Replace the preview of this worker's job, a small JPEG."""
        async with self.database.begin(survives_power_cut=False) as session:
            if await session.scalar(select(Job.id).where(text(RUNNING), Job.id == job_id, Job.worker_id == worker_id)):
                await session.merge(
                    PreviewRow(job_id=job_id, step=step, image=image, score=seen.score, phash=seen.phash)
                )
                await self._announce(session, self.changed)

    async def save_expansion(self, job: Job, expansion: Expansion, prompt: str) -> bool:
        """Store the expansion, so that it is made once; False if the job is not this worker's any more."""
        values = transitions.expanded(job.idea, expansion, prompt) | transitions.ruled(job)
        return await self._changed(transitions.ours(job).values(**values), self.changed)

    async def save_mask(self, job: Job, sha256: str) -> bool:
        """Store the mask that was found for the job's words; False if the job is not this worker's any more."""
        job.request, job.mask_sha256 = {**job.request, "mask": sha256}, sha256
        return await self._changed(transitions.ours(job).values(request=job.request, mask_sha256=sha256))

    async def hold(self, job: Job, expansion: Expansion, prompt: str) -> bool:
        """Pause the job so that its owner can see the expansion; the attempt does not count."""
        held = {"held_at": case((Job.cancel_requested, None), else_=time.time()), "attempts": Job.attempts - 1}
        values = (
            transitions.expanded(job.idea, expansion, prompt) | transitions.ruled(job) | transitions.unclaimed() | held
        )
        return await self._changed(transitions.ours(job).values(**values), self.changed)

    async def release_held(
        self, job_id: int, expansion: Expansion, prompt: str, quarantine: HoldReason | None = None
    ) -> bool:
        """The owner has chosen a prompt: queue the job for the owner's next turn. False if it is not held any more.

        ``quarantine`` is set as the hold reason if the job has none.
        """
        async with self.database.begin() as session:
            asked = select(Job.idea, Job.user_id, Job.server_id).where(Job.id == job_id)
            idea, *whose = (await session.execute(asked)).one()
            values: dict[str, Any] = {
                "held_at": None,
                "turn": next_turn(*(literal(one, Job.user_id.type) for one in whose)),
                "quarantine": func.coalesce(Job.quarantine, quarantine),
            }
            held = update(Job).where(Job.id == job_id, text(HELD))
            chosen = held.values(**transitions.expanded(idea, expansion, prompt), **values).returning(Job.id)
            won = (await session.execute(chosen)).first() is not None
            if won:
                await self._announce(session, self.queued)
        return won

    async def expand_again(self, job: Job) -> bool:
        """Queue a held job for another expansion, which replaces the present one.

        False if its owner has chosen one, or asked for another one, since the job was read.
        """
        whose = (literal(one, Job.user_id.type) for one in (job.user_id, job.server_id))
        held = update(Job).where(Job.id == job.id, text(HELD), Job.more_expansions == job.more_expansions)
        again = held.values(**transitions.unexpanded(job.idea), held_at=None, turn=next_turn(*whose))
        return await self._changed(again, self.queued)

    async def finish(self, job: Job, pictures: Sequence[StoredPicture], *, seconds: float, busy_seconds: float) -> bool:
        """Commit the pictures and the success together; False if the job is not this worker's or was cancelled.

        Unclassified pictures are in quarantine from the start.
        """
        steps = job.generation.steps  # fewer than were asked for after an early end; the pace is measured with them
        values = {"status": JobStatus.SUCCEEDED, "seconds": seconds, "busy_seconds": busy_seconds}
        values |= {"step": steps, "steps": steps, "notes": job.notes, "request": job.request}
        if not all(picture.seen for picture in pictures):
            values |= transitions.unseen(LOOK_SECONDS)
        finished = (
            transitions.ours(job)
            .where(Job.cancel_requested.is_(False))
            .values(**values, **transitions.ended())
            .returning(Job.id)
        )
        rows = [{"job_id": job.id, "position": i, **picture.columns} for i, picture in enumerate(pictures)]
        async with self.database.begin() as session:
            if (await session.execute(finished)).first() is None:
                return False
            await session.execute(insert(Image), rows)
            if job.action == Action.UPSCALE and job.parent_id:
                await mark_upscaled(session, job.parent_id)
            await shared_sql.forget_previews(session, [job.id])
            await self._announce(session, self.changed)
        log.info("job_succeeded job=%s seconds=%.2f", job.id, seconds)
        return True

    async def fail(self, job: Job, code: str, reason: str) -> bool:
        """End a running job with a sentence for its owner; False if it is not this worker's any more."""
        return await self._end(job, JobStatus.FAILED, code, reason)

    async def refuse(self, job: Job, code: str, reason: str) -> bool:
        """End a running job because the filter forbids its texts or pictures.

        False if it is not this worker's any more.
        """
        return await self._end(job, JobStatus.REFUSED, code, reason)

    async def reopen(self, job_id: int, pardoned_ids: Sequence[int]) -> None:
        """Queue a refused job again for its owner's next turn, exempt from these rules; repeating it has no effect."""
        async with self.database.begin() as session:
            whose = (await session.execute(select(Job.user_id, Job.server_id).where(Job.id == job_id))).one()
            turn = next_turn(*(literal(one, Job.user_id.type) for one in whose))
            refused = update(Job).where(
                Job.id == job_id,
                Job.status == JobStatus.REFUSED,
                Job.pardoned_ids.is_(None),
                Job.deleted_at.is_(None),
            )
            again = refused.values(**transitions.reopened(), turn=turn, pardoned_ids=list(pardoned_ids))
            if (await session.execute(again.returning(Job.id))).first():
                log.info("job_reopened job=%s", job_id)
                await self._announce(session, self.queued, self.changed)

    async def release(self, job: Job) -> bool:
        """Put a running job back as if it had not been claimed: the failure was not the job's fault."""
        waiting = transitions.unclaimed() | {"attempts": Job.attempts - 1}
        return await self._changed(transitions.ours(job).values(**waiting), self.queued, self.changed)

    async def put_back_changed(self, job: Job) -> bool:
        """Put a running job back with its texts as they are now; the attempt does not count."""
        changed = {"request": job.request, "notes": job.notes, "attempts": Job.attempts - 1}
        waiting = transitions.ours(job).values(**transitions.unclaimed() | changed)
        return await self._changed(waiting, self.queued, self.changed)

    async def retry(self, job: Job, code: str, reason: str) -> bool:
        """Put a running job back for another attempt after a pause; a failed last attempt ends it."""
        if job.attempts >= self._max_attempts:
            return await self.fail(job, code, reason)
        pause = RETRY_SECONDS * 2 ** (job.attempts - 1)
        again = transitions.unclaimed() | {"not_before": await self.database.now() + min(pause, LONGEST_PAUSE)}
        log.warning("job_retried job=%s attempt=%s code=%s", job.id, job.attempts, code)
        return await self._changed(transitions.ours(job).values(**again), self.changed)

    async def cancel(self, job_id: int, reason: str) -> JobStatus:
        """Cancel a job: a queued one at once, a running one at its next step. Returns its status after the call."""
        waits = Job.status == JobStatus.QUEUED  # decided inside the statement: a worker may claim it at this moment
        stopped = (
            update(Job)
            .where(Job.id == job_id, Job.status.in_(OPEN))
            .values(
                status=case((waits, JobStatus.CANCELLED), else_=Job.status),
                finished_at=case((waits, time.time()), else_=None),
                cancel_requested=True,
                held_at=None,
                reason_code=EndCode.CANCELLED,
                reason=english(reason),
            )
        )
        async with self.database.begin() as session:
            await session.execute(stopped)
            status = await session.scalar(select(Job.status).where(Job.id == job_id))
            if status is None:
                raise NotFound
            await self._announce(session, self.queued, self.changed)
        log.info("job_cancelled job=%s status=%s", job_id, status)
        return JobStatus(status)

    async def end_cancelled(self, worker_id: str) -> set[int]:
        """End this worker's jobs that were cancelled; returns their ids."""
        stopped = transitions.running(worker_id).where(Job.cancel_requested)
        return await self._update(stopped.values(**transitions.cancelled()), self.changed)

    async def put_back(self, worker_id: str) -> None:
        """Put back all jobs of a worker that stops in good order; their attempts do not count."""
        values = transitions.unclaimed() | {"attempts": Job.attempts - 1}
        await self._update(transitions.running(worker_id).values(**values), self.queued, self.changed)

    async def expire_held(self, older_than: float) -> None:
        """Cancel held jobs whose owner has not chosen a prompt within so many seconds."""
        waiting = update(Job).where(Job.held_at < time.time() - older_than)
        expired = transitions.cancelled() | {"reason_code": EndCode.EXPIRED, "reason": _(EXPIRED)}
        await self._update(waiting.values(**expired), self.changed)

    async def mark_delivered(self, job_id: int, message_id: int | None) -> None:
        """Record that the answer is posted (or never can be, because its channel is deleted)."""
        delivered = update(Job).where(Job.id == job_id).values(delivered_at=time.time(), message_id=message_id)
        async with self.database.begin() as session:
            await session.execute(delivered)
            await shared_sql.forget_tokens(session, AnswerToken.job_id == job_id)
        log.info("job_delivered job=%s", job_id)

    async def postpone_delivery(self, job_id: int, seconds: float) -> None:
        """Record a failed delivery; the next attempt comes after some seconds."""
        values = {"deliver_after": time.time() + seconds, "delivery_attempts": Job.delivery_attempts + 1}
        await self._update(update(Job).where(Job.id == job_id).values(**values))

    async def _enqueue_together(self, asking: Sequence[Asking], patience: float) -> list[Job | NotTaken]:
        """The row of each request, or why there is none."""
        users = {f"limner.user.{one.new.user_id}" for one in asking if one.per_user != UNLIMITED}
        guilds = {one.new.where.guild_id for one in asking if one.per_guild != UNLIMITED} - {None}
        async with self.database.begin(patience) as session:
            # In one order in all processes, so that no two wait for each other.
            await self.database.lock(session, *sorted(users), *sorted(f"limner.guild.{guild}" for guild in guilds))
            told = await insert_rows(session, asking)
            if any(isinstance(one, Job) for one in told):
                await self._announce(session, self.queued)
        return told

    async def _attach_together(
        self, attached: Sequence[tuple[int, int, transitions.InteractionToken | None]], patience: float
    ) -> list[None]:
        async with self.database.begin(patience, survives_power_cut=False) as session:
            messages = [{"job": job_id, "message": message_id} for job_id, message_id, _ in attached]
            await session.execute(transitions.ATTACH, messages)
            answers = {job_id: answer for job_id, _, answer in attached if answer}
            await transitions.keep_tokens(session, answers)
            waiting = await session.scalar(transitions.COUNT_WAITING, {"jobs": [job_id for job_id, *_ in attached]})
        if waiting != len(attached):
            self.changed.hear()
        return [None] * len(attached)

    async def _take(
        self, session: AsyncSession, worker_id: str, chosen: Sequence[Waiting], now: float
    ) -> dict[int, Job]:
        """Assign the chosen jobs to the worker, except those cancelled at this moment."""
        if not chosen:
            return {}
        until = now + self._lease_seconds
        taken = {"chosen": [job.id for job in chosen], "worker": worker_id, "now": now, "until": until}
        return {job.id: job for job in await session.scalars(transitions.CLAIM, taken)}

    async def _end(self, job: Job, status: JobStatus, code: str, reason: str) -> bool:
        values = {
            "status": status,
            "reason_code": code,
            "reason": english(reason),
            "rule_ids": job.rule_ids,
            **transitions.ended(),
        }
        ended = await self._changed(transitions.ours(job).values(**values), self.changed)
        if ended:
            log.warning("job_%s job=%s code=%s", status, job.id, code)
        return ended


def _queue_full(mine: int, per_user: int, per_guild: int) -> QueueFull:
    if mine >= per_user:
        return QueueFull(_(YOUR_LIMIT, limit=_requests(mine)))
    return QueueFull(_(SERVER_LIMIT, limit=_requests(per_guild)))


def _requests(number: int) -> str:
    return ngettext("1 request", "{number} requests", number)


def _without_images(job: Job) -> Job:
    """Sets an unfinished job's images to none without a query."""
    set_committed_value(job, "images", [])
    return job
