"""Turns of the real queue on its database, whatever happens to jobs, and how much of its tables a claim reads."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, strategies
from hypothesis import settings as effort
from sqlalchemy import event, text

from limner.bot.queue.candidates import WALK
from limner.bot.queue.fairness import (
    LOOK_AHEAD,
)
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.history import History
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import Job
from tests.bot.test_fairness import EXPANSION
from tests.rows import new_job, picture

ACTS = strategies.sampled_from(["ask", "ask", "ask", "finish", "finish", "fail", "hold", "release", "cancel"])
SCHEDULES = strategies.lists(strategies.tuples(ACTS, strategies.integers(1, 4)), max_size=50)


@dataclass
class Schedule:
    """What members and one painter do, one thing after the other, and who was served in which order."""

    jobs: JobQueue
    served: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    waits_since: dict[int, tuple[int, float, float]] = field(default_factory=dict[int, tuple[int, float, float]])
    held: list[int] = field(default_factory=list[int])

    async def ask(self, user: int) -> None:
        await self._waits((await self.jobs.enqueue(new_job(user_id=user, guild_id=5))).id)

    async def finish(self, _user: int) -> None:
        for job in await self.serve():
            assert await self.jobs.finish(job, [picture()], seconds=1, busy_seconds=1)

    async def fail(self, _user: int) -> None:
        for job in await self.serve():
            assert await self.jobs.retry(job, "oom", "")
            await self.run("UPDATE jobs SET not_before = 0")

    async def hold(self, _user: int) -> None:
        for job in await self.jobs.claim("w", capacity=1):
            if job.attempts > 1:
                await self.jobs.put_back("w")
            elif await self.jobs.hold(job, EXPANSION, ""):
                self.held.append(job.id)

    async def release(self, _user: int) -> None:
        if self.held:
            await self.jobs.release_held(self.held[0], EXPANSION, "")
            await self._waits(self.held.pop(0))

    async def cancel(self, user: int) -> None:
        for job in list(await self.jobs.open_jobs(user))[-1:]:
            await self.jobs.cancel(job.id, "")
            self.held = [job_id for job_id in self.held if job_id != job.id]

    async def serve(self) -> list[Job]:
        claimed = list(await self.jobs.claim("w", capacity=1))
        self.served += [(job.user_id, job.id) for job in claimed if job.attempts == 1]
        return claimed

    async def run(self, statement: str) -> None:
        async with self.jobs.database.begin() as session:
            await session.execute(text(statement))

    async def _waits(self, job_id: int) -> None:
        async with self.jobs.database.read() as session:
            come_to = await session.scalar(text("SELECT turn FROM shares WHERE server_id = 5")) or 0.0
        self.waits_since[job_id] = len(self.served), come_to, (await self.jobs.get(job_id)).turn


@effort(max_examples=8)
@given(schedule=SCHEDULES)
def test_turns_go_round_whatever_happens(empty_database: Path, schedule: list[tuple[str, int]]):
    """The bound of `test_nobody_starves`, on the rows, with jobs that fail, are held, released and cancelled."""
    asyncio.run(_play(empty_database, schedule))


async def _play(empty_database: Path, schedule: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = shutil.copy(empty_database, folder)
        database = Database(f"sqlite+aiosqlite:///{file}")
        played = Schedule(JobQueue(database, max_attempts=9))
        for act, user in schedule:
            await getattr(played, act)(user)
        for _ in range(len(schedule) * 9):
            await played.finish(0)
        await database.close()
    for place, (_, job_id) in enumerate(played.served):
        asked_after, come_to, turn = played.waits_since[job_id]
        turns = Counter(user for user, _ in played.served[asked_after:place])
        assert max(turns.values(), default=0) <= turn - come_to + 1
    assert len(played.held) + len(played.served) <= len(played.waits_since), "a job was served twice"


async def test_no_question_reads_the_whole_table(settings: Settings):
    """SQLite's own count of its steps hardly grows when the table has twenty times as many rows."""
    database = Database(settings.url)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "jobs" in statement:
            asked.append((statement, parameters))

    file = settings.data / "limner.db"
    _fill(file, 200)
    await _ask_everything(database, settings)
    few = [_steps(file, *question) for question in asked]
    _fill(file, 4_000)
    many = [_steps(file, *question) for question in asked]

    await database.close()
    assert remember
    grown = {
        question[0]: (before, after)
        for question, before, after in zip(asked, few, many, strict=True)
        if after > 3 * before + 20
    }
    assert len(asked) > 12
    assert grown == {}


async def _ask_everything(database: Database, settings: Settings) -> None:
    jobs = JobQueue(database)
    await jobs.enqueue(new_job(user_id=1, guild_id=1), per_user=10**6, per_guild=10**6)
    [job] = await jobs.claim("w", capacity=1)
    await jobs.claim("w", capacity=10**6, painting=job.weights_key)
    await jobs.heartbeat("w")
    await jobs.record_steps("w", {job.id: 1})
    await jobs.hold(job, EXPANSION, "a fox")
    await jobs.release_held(job.id, EXPANSION, "a fox")
    await jobs.cancel(job.id, "")
    await jobs.end_cancelled("w")
    await jobs.requeue_stalled()
    await jobs.expire_held(0)
    await jobs.to_show()
    await jobs.undelivered([7])
    await jobs.mark_delivered(job.id, None)
    history = History(database, ImageStore(settings.data / "images", Cipher()))
    await history.page(1)
    await history.page(None, every_status=True)


def _fill(file: Path, rows: int) -> None:
    """As many finished jobs of one user, posted, and as many queued ones of a hundred others in ten servers."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executemany(
            "INSERT INTO jobs (created_at, status, user_id, guild_id, server_id, channel_id, locale, idea, style,"
            " expand, request, weights_key, pixels, samples, steps, search_text, turn, charged, attempts, not_before,"
            " cancel_requested, step, delivery_attempts, deliver_after, delivered_at) VALUES (0, ?, ?, ?, ?, 3, 'en',"
            " 'a fox', '', 'on', '{}', ?, 256, 1, 4, 'a fox', ?, ?, 0, 0, 0, 0, 0, 0, ?)",
            [("succeeded", 1, 2, 2, "a|", -1.0, True, 1.0) for _ in range(rows)]
            + [
                ("queued", 100 + n % 100, 2 + n % 10, 2 + n % 10, f"{'ab'[n % 2]}|", n // 100, False, None)
                for n in range(rows)
            ],
        )
        connection.commit()


async def test_a_claim_on_postgres_reads_no_table(postgres_url: str):
    """Just after many rows have come, when Postgres has no statistics of them yet; a table of a few MB it may read."""
    database = Database(postgres_url)
    async with database.begin() as session:
        await session.execute(text(MANY))
        plan = list(await session.scalars(text(f"EXPLAIN {WALK.text}"), {"now": 1.0, "limit": LOOK_AHEAD}))
    await database.close()

    assert any("Index Scan using pk_jobs on jobs" in line for line in plan)
    assert not [line for line in plan if "Seq Scan on jobs" in line]


async def test_a_plan_that_was_made_while_the_queue_was_short_is_not_kept(postgres_url: str):
    database = Database(postgres_url)
    async with database.begin() as session:
        for _ in range(8):  # Postgres thinks of keeping a plan after five
            await session.execute(WALK, {"now": 1.0, "limit": LOOK_AHEAD})
        plans = text("SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '_WITH RECURSIVE%'")
        kept = await session.scalar(plans)
    await database.close()

    assert kept == 0


MANY = """
INSERT INTO jobs (created_at, status, user_id, server_id, locale, idea, style, expand, request, weights_key, pixels,
    samples, steps, search_text, turn, attempts, not_before, cancel_requested, step, delivery_attempts, deliver_after)
SELECT 0, 'queued', n, n % 50, 'en', repeat('fox ', 300), '', 'on', '{}', 'a|', 256,
    1, 4, '', n / 1000, 0, 0, false, 0, 0, 0
FROM generate_series(1, 10000) AS n
"""


def _steps(file: Path, statement: str, parameters: Any) -> int:
    """How many hundred steps SQLite's machine takes for a statement."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN")
        connection.set_progress_handler(step, 100)
        again = statement.replace("INSERT INTO jobs", "INSERT OR REPLACE INTO jobs")  # its row is there by now
        connection.execute(again, parameters).fetchall()
        connection.set_progress_handler(None, 0)
        connection.rollback()
    return count
