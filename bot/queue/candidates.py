"""Claim candidates: a new job's turn, and the first waiting jobs of every server, in a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, func, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.queue.fairness import LOOK_AHEAD, PICTURE, Account, ShareAccounts, Waiting, WorkerCapacity
from limner.bot.storage.tables.models import QUEUED, TURNED, Job
from limner.bot.storage.tables.worker_tables import Share, WorkerState

LONGEST_PAUSE = 600.0
"""Most seconds before a job's next attempt; a longer pause is left over from before the clock was set back."""
RESTED = f"(jobs.not_before <= :now OR jobs.not_before > :now + {LONGEST_PAUSE})"

# The servers with waiting jobs are found by skipping along the index, and ranked by their next turn. The walk then
# steps along the same index from job to job: LOOK_AHEAD jobs of the first server, half as many of the second, a third
# as many of the third, because a server gets no more of a claim while servers before it still wait.
# The row estimate is for Postgres, which would otherwise scan the whole table for the join.
WALK = text(f"""
WITH RECURSIVE servers (server_id) AS (
    SELECT min(server_id) FROM jobs WHERE {QUEUED}
    UNION ALL
    SELECT (SELECT min(jobs.server_id) FROM jobs WHERE {QUEUED} AND jobs.server_id > servers.server_id)
    FROM servers WHERE servers.server_id IS NOT NULL
),
accounts (server_id, turn, finish, clock) AS (
    SELECT servers.server_id, coalesce(shares.turn, 0.0), coalesce(shares.finish, 0.0),
        (SELECT coalesce(max(clock), 0.0) FROM shares)
    FROM servers LEFT JOIN shares ON shares.server_id = servers.server_id
    WHERE servers.server_id IS NOT NULL
),
ranked (server_id, turn, finish, clock, place) AS (
    SELECT server_id, turn, finish, clock, row_number() OVER (
        ORDER BY CASE WHEN finish > clock THEN finish ELSE clock END, finish, server_id)
    FROM accounts
),
walk (server_id, server_turn, finish, clock, place, number, job_id) AS (
    SELECT server_id, turn, finish, clock, place, 1, (
        SELECT id FROM jobs
        WHERE jobs.server_id = ranked.server_id AND {QUEUED} AND {RESTED}
        ORDER BY jobs.turn, jobs.id LIMIT 1)
    FROM ranked WHERE place <= :limit
    UNION ALL
    SELECT walk.server_id, server_turn, finish, clock, place, number + 1, (
        SELECT jobs.id FROM jobs
        WHERE jobs.server_id = walk.server_id AND {QUEUED} AND {RESTED}
            AND (jobs.turn, jobs.id) > ((SELECT turn FROM jobs AS before WHERE before.id = walk.job_id), walk.job_id)
        ORDER BY jobs.turn, jobs.id LIMIT 1)
    FROM walk WHERE walk.job_id IS NOT NULL AND (number + 1) * place <= :limit
)
SELECT found.server_id, server_turn, finish, clock, id, user_id, turn, weights_key, pixels, steps, samples, attempts,
    charged, passed_over_at, not_before, created_at
FROM (SELECT * FROM walk WHERE job_id IS NOT NULL LIMIT {4 * LOOK_AHEAD}) AS found JOIN jobs ON jobs.id = found.job_id
""")  # noqa: S608
ACCOUNT = text("""
INSERT INTO shares (server_id, turn, finish, clock) VALUES (:server_id, :turn, :finish, :clock)
ON CONFLICT (server_id) DO UPDATE SET turn = excluded.turn, finish = excluded.finish, clock = excluded.clock
""")


def next_turn(user_id: ColumnElement[int], server_id: ColumnElement[int]) -> ScalarSelect[float]:
    """The turn of a user's next job in a server: the end of the user's last one, or the server's turn if later.

    A held job has no turn until its release, and a job cancelled before its claim has used none.
    """
    ends = select(Job.turn + 1.0 / Job.weight).where(Job.user_id == user_id, Job.server_id == server_id, text(TURNED))
    last = ends.order_by(Job.turn.desc()).limit(1).scalar_subquery()
    come_to = select(Share.turn).where(Share.server_id == server_id).scalar_subquery()
    rows = union_all(*(select(func.coalesce(turn, 0.0).label("turn")) for turn in (last, come_to))).subquery()
    return select(func.max(rows.c.turn)).scalar_subquery()


async def read_waiting(
    session: AsyncSession, server_weights: Mapping[int, float], now: float
) -> tuple[list[Waiting], ShareAccounts]:
    """The first jobs of the servers that are next, and their accounts; ``server_weights`` are those that are not 1."""
    rows = (await session.execute(WALK, {"now": now, "limit": LOOK_AHEAD})).all()
    accounts = {
        row.server_id: Account(
            server_id=row.server_id,
            weight=server_weights.get(row.server_id, 1.0),
            turn=row.server_turn,
            finish=row.finish,
        )
        for row in rows
    }
    return list(map(_waiting, rows)), ShareAccounts(accounts, rows[0].clock if rows else 0.0)


async def write_accounts(session: AsyncSession, ledger: ShareAccounts, server_ids: Iterable[int]) -> None:
    """Store these servers' accounts and the queue's virtual time."""
    accounts = [ledger.accounts[server_id] for server_id in server_ids]
    rows = [
        {"server_id": one.server_id, "turn": one.turn, "finish": one.finish, "clock": ledger.clock} for one in accounts
    ]
    await session.execute(ACCOUNT, rows)


async def pass_over(session: AsyncSession, job_ids: list[int], now: float) -> None:
    """Record since when these jobs have been passed over."""
    if job_ids:
        await session.execute(update(Job).where(Job.id.in_(job_ids)).values(passed_over_at=now))


async def take_room(session: AsyncSession, worker_id: str, worker: WorkerCapacity, taken: Sequence[Waiting]) -> None:
    """Reduce the worker's free capacity at once for other claims; its own report comes only now and then."""
    room = max(0, worker.room - sum(job.pixels for job in taken))
    busy = update(WorkerState).where(WorkerState.worker_id == worker_id)
    await session.execute(busy.values(room=room, painting=taken[0].weights_key))


async def read_others(session: AsyncSession, worker_id: str, alive_since: float) -> list[WorkerCapacity]:
    """The last reports of the other live workers."""
    others = select(WorkerState).where(WorkerState.worker_id != worker_id, WorkerState.seen_at >= alive_since)
    return [
        WorkerCapacity(room=other.room, painting=other.painting, loaded=other.weights)
        for other in await session.scalars(others)
    ]


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        id=row.id,
        user_id=row.user_id,
        server_id=row.server_id,
        turn=row.turn,
        weights_key=row.weights_key,
        pixels=row.pixels,
        work=row.pixels * row.steps / PICTURE,
        since=max(row.created_at, row.not_before),
        tried=row.attempts > 0,
        charged=bool(row.charged),
        passed_over_at=row.passed_over_at,
    )
