"""Fairness, on the real queue under random schedules; and no question to the queue reads the whole table."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies
from hypothesis import settings as effort
from sqlalchemy import event, text

from bot.db import Database
from bot.history import History
from bot.jobs import JobQueue
from bot.models import QUEUED, Job
from bot.settings import Settings
from bot.storage import ImageStore
from generators.base import Expansion
from tests.rows import new_job, picture

EXPANSION = Expansion("a fox", "", (), "", 0.0)
HEAD = f"SELECT id FROM jobs WHERE {QUEUED} AND attempts = 0 ORDER BY turn, user_id, id LIMIT 1"

ACTS = strategies.sampled_from(["ask", "ask", "ask", "finish", "finish", "fail", "hold", "release", "cancel"])
SCHEDULES = strategies.lists(strategies.tuples(ACTS, strategies.integers(1, 4)), max_size=50)


@dataclass
class Schedule:
    """What members and one painter do, one thing after the other, and who was served in which order."""

    jobs: JobQueue
    served: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    waits_since: dict[int, int] = field(default_factory=dict[int, int])
    held: list[int] = field(default_factory=list[int])

    async def ask(self, user: int) -> None:
        head = await self.head()
        job = await self.jobs.enqueue(new_job(user_id=user))
        self.waits_since[job.id] = len(self.served)
        assert await self.head() == (head or job.id), "a newcomer has overtaken the head"

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
            head, job_id = await self.head(), self.held.pop(0)
            await self.jobs.release_held(job_id, EXPANSION, "")
            self.waits_since[job_id] = len(self.served)
            assert await self.head() == (head or job_id), "a released job has overtaken the head"

    async def cancel(self, user: int) -> None:
        for job in list(await self.jobs.open_jobs(user))[-1:]:
            await self.jobs.cancel(job.id, "")
            self.held = [job_id for job_id in self.held if job_id != job.id]

    async def serve(self) -> list[Job]:
        claimed = list(await self.jobs.claim("w", capacity=1))
        self.served += [(job.user_id, job.id) for job in claimed if job.attempts == 1]
        return claimed

    async def head(self) -> int | None:
        """The job that is served next, but for those that are tried again."""
        async with self.jobs.database.read() as session:
            return await session.scalar(text(HEAD))

    async def run(self, statement: str) -> None:
        async with self.jobs.database.begin() as session:
            await session.execute(text(statement))

    def overtaken(self) -> list[tuple[int, dict[int, int]]]:
        """Users who waited while somebody else had two turns."""
        found: list[tuple[int, dict[int, int]]] = []
        for user in {user for user, _ in self.served}:
            places = [place for place, (other, _) in enumerate(self.served) if other == user]
            for first, second in itertools.pairwise(places):
                between = Counter(other for other, _ in self.served[first + 1 : second])
                waited = self.waits_since[self.served[second][1]] <= first
                if waited and max(between.values(), default=0) > 1:
                    found.append((user, dict(between)))
        return found


@effort(max_examples=15)
@given(schedule=SCHEDULES)
def test_turns_go_round_whatever_happens(empty_database: Path, schedule: list[tuple[str, int]]):
    """Between two turns of somebody who waits everybody else has one at most, and nobody overtakes the head."""
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
    assert played.overtaken() == []
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
    _fill(file, 500)
    await _ask_everything(database, settings)
    few = [_steps(file, *question) for question in asked]
    _fill(file, 10_000)
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
    await jobs.claim("w", capacity=1, batch_key=job.batch_key)
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
    history = History(database, ImageStore(settings.data / "images"))
    await history.page(1)
    await history.page(None, every_status=True)


def _fill(file: Path, rows: int) -> None:
    """As many finished jobs of one user, posted, and as many queued ones of a hundred others."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executemany(
            "INSERT INTO jobs (created_at, status, user_id, guild_id, channel_id, locale, idea, style, expand, request,"
            " batch_key, samples, steps, search_text, turn, attempts, not_before, cancel_requested, step,"
            " delivery_attempts, deliver_after, delivered_at) VALUES (0, ?, ?, 2, 3, 'en', 'a fox', '', 'on', '{}',"
            " ?, 1, 4, 'a fox', ?, 0, 0, 0, 0, 0, 0, ?)",
            [("succeeded", 1, "a", -1.0, 1.0) for _ in range(rows)]
            + [("queued", 100 + n % 100, "ab"[n % 2], float(n // 100), None) for n in range(rows)],
        )
        connection.commit()


def _steps(file: Path, statement: str, parameters: Any) -> int:
    """How many hundred steps SQLite's machine takes for a statement."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN")
        connection.set_progress_handler(step, 100)
        connection.execute(statement, parameters).fetchall()
        connection.set_progress_handler(None, 0)
        connection.rollback()
    return count


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 50_000])
async def test_claiming_from_a_long_queue_takes_milliseconds(settings: Settings, rows: int):
    _fill(settings.data / "limner.db", rows)
    database = Database(settings.url)
    jobs, seconds = JobQueue(database), list[float]()
    for number in range(60):
        began = time.perf_counter()
        await jobs.claim(f"w{number}", capacity=4)
        seconds.append(time.perf_counter() - began)
    await database.close()
    assert sorted(seconds)[30] < 0.1
    print(f"{rows} queued: median {sorted(seconds)[30] * 1000:.1f} ms")
