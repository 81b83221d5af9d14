"""What the queue costs when it is long: enqueue, claim, finish and /queue with up to 100,000 waiting requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeVar

from sqlalchemy import insert

from limner.bot.queue.enqueue import NewJob, row
from limner.bot.queue.jobs import JobQueue
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from tests.benchmarks.databases import KINDS, new_database
from tests.benchmarks.figures import share, show
from tests.rows import new_job, picture

QUEUED = (1_000, 10_000, 100_000)
USERS, SERVERS = 5_000, 50
MODELS = ("sd", "sdxl", "flux")
TIMES = 100
CAPACITY = 512 * 512
AT_ONCE = 5_000
"""Rows that one statement writes while the queue is filled."""

T = TypeVar("T")


@dataclass
class Timings:
    """Seconds of every call, by what was called."""

    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def take(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Await a call and remember how long it took."""
        began = time.perf_counter()
        result = await call()
        self.seconds.setdefault(what, []).append(time.perf_counter() - began)
        return result

    def told(self, what: str) -> str:
        """Median and 99th percentile in milliseconds."""
        seconds = self.seconds[what]
        return f"{1000 * median(seconds):.1f} / {1000 * share(seconds, 0.99):.1f}"


def main() -> None:
    """Print the table."""
    rows = [line for name in KINDS for line in asyncio.run(_measure(name))]
    show(
        f"A long queue: {USERS:,} users in {SERVERS} servers, {len(MODELS)} models",
        ("database", "waiting", "enqueue", "claim", "claims/s", "finish", "place"),
        rows,
        f"Milliseconds, median / 99th percentile of {TIMES} calls in a row; a commit waits for the disk.",
    )


async def _measure(name: str) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    async with new_database(name) as database:
        jobs, filled = JobQueue(database), 0
        for queued in QUEUED:
            waiting, _ = await jobs.counts()
            await _fill(database, range(filled, filled + queued - waiting))
            filled += queued - waiting
            timings = await _use(jobs)
            rate = TIMES / sum(timings.seconds["claim"])
            told = [timings.told(what) for what in ("enqueue", "claim", "finish", "place")]
            lines.append((name, f"{queued:,}", *told[:2], f"{rate:.0f}", *told[2:]))
    return lines


async def _use(jobs: JobQueue) -> Timings:
    """One user after the other asks, looks at /queue, and a worker that has a model in memory paints somebody's job."""
    timings = Timings()
    for number in range(TIMES):
        new = replace(_request(number), user_id=10**6 + number)
        asked = await timings.take("enqueue", lambda new=new: jobs.enqueue(new, per_user=3))
        await timings.take("place", lambda asked=asked: jobs.position(asked))
        worker, loaded = f"worker-{number % 4}", [f"{MODELS[number % 3]}|"]
        [job] = await timings.take(
            "claim", lambda worker=worker, loaded=loaded: jobs.claim(worker, capacity=CAPACITY, loaded=loaded)
        )
        await timings.take("finish", lambda job=job: jobs.finish(job, [picture()], seconds=1.0, busy_seconds=1.0))
    return timings


async def _fill(database: Database, numbers: range) -> None:
    """Requests that came one after the other, so that a user's turns follow each other."""
    rows = [row(_request(number)) | {"turn": float(number // USERS)} for number in numbers]
    for start in range(0, len(rows), AT_ONCE):
        async with database.begin() as session:
            await session.execute(insert(Job.metadata.tables["jobs"]), rows[start : start + AT_ONCE])


def _request(number: int) -> NewJob:
    user = number % USERS
    new = new_job(f"a fox {number}", user, model=MODELS[number % 3], guild_id=1 + user % SERVERS)
    return replace(new, request=replace(new.request, width=512, height=512))


if __name__ == "__main__":
    main()
