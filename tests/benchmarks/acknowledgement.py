"""How soon 200 people who type /imagine at the same moment are answered while pictures are painted."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass
from statistics import median

from limner.bot.settings import Settings
from tests.benchmarks.figures import ROUNDS, fresh_studio, share, show, spread
from tests.discord_records import CHANNEL, Asked, until
from tests.discord_server import ACKNOWLEDGE_SECONDS, DiscordServer
from tests.studio import ROOT

PEOPLE = 200
BUSY = 6
PLACEHOLDERS = (4, 5)
"""The types of answer that make a message: at once, or deferred."""


@dataclass
class Round:
    """200 commands: seconds until each was answered, and the share that Discord accepted as a yes in time."""

    seconds: list[float]
    in_time: float


def main() -> None:
    """Print the table."""
    limner, naive = asyncio.run(_limner()), asyncio.run(_naive())
    rows = [("Limner", *_figures(limner)), ("naive bot", *_figures(naive))]
    times = _p99(naive) / _p99(limner)
    show(
        f"{PEOPLE} concurrent /imagine while pictures are painted",
        ("", "p50, seconds", "p99, seconds", f"accepted within {ACKNOWLEDGE_SECONDS:.0f} s"),
        rows,
        f"Median (lowest to highest) of {ROUNDS} rounds. The naive bot's p99 is {times:.2f} times Limner's.",
    )


async def _limner() -> list[Round]:
    async with fresh_studio() as studio:
        await studio.start(stderr=DEVNULL)
        return await _measure(studio.server)


async def _naive() -> list[Round]:
    card = Settings().default_card
    async with DiscordServer().open() as server:
        command = ("-m", "tests.naive_bot", server.address, card.source, str(card.num_inference_steps))
        bot = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stderr=DEVNULL)
        try:
            await server.online()
            return await _measure(server)
        finally:
            bot.kill()
            await bot.wait()


async def _measure(server: DiscordServer) -> list[Round]:
    for user in range(1, 1 + BUSY):
        await server.slash(user, CHANNEL, "imagine", prompt="a red cat in the snow")
    await until(lambda: any(post.files for post in server.visible()), 60, "the first picture")
    return [await _round(server) for _ in range(ROUNDS)]


async def _round(server: DiscordServer) -> Round:
    asking = [
        server.slash(100 + person, CHANNEL, "imagine", prompt=f"a red cat {person}", wait=100.0)
        for person in range(PEOPLE)
    ]
    answers = await asyncio.gather(*asking)
    return Round([one.seconds or 0.0 for one in answers], sum(map(_is_yes, answers)) / PEOPLE)


def _is_yes(asked: Asked) -> bool:
    return asked.message is not None and asked.kind in PLACEHOLDERS and not asked.message.ephemeral


def _figures(rounds: list[Round]) -> list[str]:
    halves = [share(one.seconds, 0.50) for one in rounds]
    slowest = [share(one.seconds, 0.99) for one in rounds]
    return [spread(halves), spread(slowest), spread([100 * one.in_time for one in rounds], "{:.1f} %")]


def _p99(rounds: list[Round]) -> float:
    return median(share(one.seconds, 0.99) for one in rounds)


if __name__ == "__main__":
    main()
