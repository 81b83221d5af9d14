"""Pictures per second through the whole product with 16 users, beside the stock pipeline alone in a loop."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import DEVNULL
from statistics import median

from tests.benchmarks.figures import ROUNDS, fresh_studio, show, spread, stock
from tests.discord_records import CHANNEL, until
from tests.studio import Studio

USERS = 16
IDEAS = [
    f"a {colour} {thing}" for colour in ("red", "blue", "green", "pink") for thing in ("cat", "fish", "car", "bird")
]


def main() -> None:
    """Print the table."""
    limner, alone = asyncio.run(_measure())
    times = median(ours / theirs for ours, theirs in zip(limner, alone, strict=True))
    show(
        f"{USERS} users, one picture each",
        ("", "pictures per second"),
        [("Limner, from command to post", spread(limner)), ("the stock pipeline in a loop", spread(alone))],
        f"Median (lowest to highest) of {ROUNDS} rounds in turn. Limner's rate is {times:.2f} of the stock one.",
    )


async def _measure() -> tuple[list[float], list[float]]:
    paint = stock()
    limner: list[float] = []
    alone: list[float] = []
    async with fresh_studio(channels=USERS) as studio:
        await studio.start(stderr=DEVNULL)
        await paint_all(studio, 1)  # loads the model
        for _ in range(ROUNDS):
            limner.append(await paint_all(studio, USERS))
            alone.append(USERS / sum(map(paint, IDEAS)))
    return limner, alone


async def paint_all(studio: Studio, users: int) -> float:
    """All users ask at once, each in a channel of their own; returns pictures per second until the last post."""
    started = time.perf_counter()
    asked = await asyncio.gather(
        *(studio.server.slash(100 + i, CHANNEL + i, "imagine", prompt=IDEAS[i]) for i in range(users))
    )
    posts = [one.message for one in asked]
    await until(lambda: all(post and post.files for post in posts), 120, "every picture")
    return users / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
