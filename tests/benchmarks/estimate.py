"""The error of the estimated time left: what a placeholder says, against when the pictures are done."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from tests.benchmarks.figures import ROUNDS, fresh_studio, share, show
from tests.discord_records import CHANNEL
from tests.studio import Studio

USERS = 16
STEPS, COUNTS = (4, 8, 16, 24), (1, 1, 2)
NEAR = 4
"""Places at the head of the queue that have rows of their own: later requests can still change their order."""


@dataclass(frozen=True)
class Estimate:
    """One request: its place, its estimated seconds and the seconds that it took."""

    ahead: int
    told: float
    taken: float

    @property
    def error(self) -> float:
        """How much too long (above 0) or too short the estimate was, as a part of the time taken."""
        return self.told / self.taken - 1.0


def main() -> None:
    """Print the table."""
    estimates = asyncio.run(_measure())
    near = [one for one in estimates if one.ahead < NEAR]
    far = [one for one in estimates if one.ahead >= NEAR]
    show(
        f"{USERS} users ask for {min(STEPS)} to {max(STEPS)} steps and {min(COUNTS)} or {max(COUNTS)} pictures",
        (
            "place when asked",
            "requests",
            "seconds taken",
            "off by, median",
            "off by, 9 in 10",
            "too long (+) or short (-)",
        ),
        [_line("all", estimates), _line(f"up to {NEAR}th", near), _line("behind", far)],
        f"{ROUNDS} rounds. The time told when the request was accepted, against when its pictures were done.",
    )


def _line(name: str, estimates: Sequence[Estimate]) -> tuple[str, ...]:
    errors = [one.error for one in estimates]
    off = [abs(error) for error in errors]
    taken = f"{median(one.taken for one in estimates):.1f}"
    return name, str(len(off)), taken, f"{median(off):.0%}", f"{share(off, 0.9):.0%}", f"{median(errors):+.0%}"


async def _measure() -> list[Estimate]:
    mix = random.Random(7)
    async with fresh_studio(channels=USERS) as studio:
        await studio.start(stderr=DEVNULL)
        database = Database(Settings(data=studio.folder).url)
        jobs = JobQueue(database)
        await _round(studio, jobs, mix)  # loads the model, and sets the pace of people who share it
        estimates = [one for _ in range(ROUNDS) for one in await _round(studio, jobs, mix)]
        await database.close()
        return estimates


async def _round(studio: Studio, jobs: JobQueue, mix: random.Random) -> list[Estimate]:
    told: dict[int, tuple[int, float, float]] = {}
    for user in range(USERS):
        job = await jobs.get(await _ask(studio, user, steps=mix.choice(STEPS), count=mix.choice(COUNTS)))
        position = await jobs.position(job)
        told[job.id] = position.ahead, position.seconds or 0.0, time.time()
    await _idle(jobs)
    done = {row["id"]: row["finished_at"] for row in studio.rows()}
    return [Estimate(ahead, seconds, done[job_id] - asked) for job_id, (ahead, seconds, asked) in told.items()]


async def _ask(studio: Studio, user: int, **options: Any) -> int:
    """The number of the request that somebody has made."""
    await studio.server.slash(100 + user, CHANNEL + user, "imagine", prompt="a red cat", **options)
    return studio.rows()[-1]["id"]


async def _idle(jobs: JobQueue) -> None:
    while sum(await jobs.counts()):
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
