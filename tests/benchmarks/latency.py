"""What Limner adds to a picture on an idle system: from the answer to the first step, and from the last to the post."""

from __future__ import annotations

import asyncio
import re
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.figures import ROUNDS, fresh_studio, show, spread, stock
from tests.discord_records import CHANNEL, Post, until
from tests.studio import Studio

PICTURES = 5 * ROUNDS
STEPPED = re.compile(r"batch_stepped .*seconds=([0-9.]+)")


@dataclass
class Step:
    """One denoising step, in Unix seconds."""

    begun: float
    ended: float


@dataclass
class Trip:
    """One picture, in seconds."""

    answer: float
    claim: float
    first_step: float
    painting: float
    post: float
    request: float
    stock: float


def main() -> None:
    """Print the table."""
    trips = asyncio.run(_measure())
    added = [trip.answer + trip.first_step + trip.post for trip in trips]
    whole = median(trip.stock for trip in trips)
    rows = [
        ("command to answer", spread([trip.answer for trip in trips])),
        ("row written to claimed, both commits in it", spread([trip.claim for trip in trips])),
        ("answer to first denoising step", spread([trip.first_step for trip in trips])),
        ("first to last step", spread([trip.painting for trip in trips])),
        ("last step to the picture at Discord", spread([trip.post for trip in trips])),
        ("success written to the request at Discord, commit in it", spread([trip.request for trip in trips])),
        ("the stock pipeline alone, whole call", spread([trip.stock for trip in trips])),
    ]
    show(
        "One picture on an idle system",
        ("", "seconds"),
        rows,
        f"Median (lowest to highest) of {PICTURES} pictures, stock and Limner in turn. "
        f"Limner adds {median(added):.3f} s, which is {median(added) / whole:.2f} of a stock picture.",
    )


async def _measure() -> list[Trip]:
    paint = stock()
    async with fresh_studio(log_level="DEBUG") as studio:
        process = await studio.start(stderr=PIPE)
        steps: list[Step] = []
        listening = asyncio.create_task(_listen(process, steps))
        await _trip(studio, steps, 0.0)  # loads the model
        trips = [await _trip(studio, steps, paint("a red cat")) for _ in range(PICTURES)]
        listening.cancel()
        return trips


async def _listen(process: asyncio.subprocess.Process, steps: list[Step]) -> None:
    """The worker's log has a line for each finished step."""
    assert process.stderr
    async for line in process.stderr:
        if stepped := STEPPED.search(line.decode()):
            now = time.time()
            steps.append(Step(now - float(stepped[1]), now))


async def _trip(studio: Studio, steps: list[Step], stock_seconds: float) -> Trip:
    steps.clear()
    asked = await studio.server.slash(7, CHANNEL, "imagine", prompt="a red cat")
    assert asked.message
    assert asked.seconds
    answered = time.time()
    post: Post = asked.message
    await until(lambda: post.files, 60, "the picture")
    posted = next(at for at, _, files in post.edits if files)
    first, last = steps[0], steps[-1]
    row = studio.rows()[-1]
    return Trip(
        answer=asked.seconds,
        claim=row["started_at"] - row["created_at"],
        first_step=first.begun - answered,
        painting=last.ended - first.begun,
        post=posted - last.ended,
        request=posted - row["finished_at"],
        stock=stock_seconds,
    )


if __name__ == "__main__":
    main()
