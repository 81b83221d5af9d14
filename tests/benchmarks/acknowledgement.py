"""How soon people who type /imagine are answered: 200 at one moment, 20 a second, one beside 1,000 autocompletes."""

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
RATE, SECONDS = 20, 5
"""Commands a second, and for how long, when they come one after the other."""
TYPING = 1000
"""Autocompletes that are in flight when one command comes."""
PAIRS = 7
BUSY = 6
PLACEHOLDERS = (4, 5)
"""The types of answer that make a message: at once, or deferred."""


@dataclass
class Round:
    """Some commands: seconds until each was answered, and the share that Discord accepted as a yes in time."""

    seconds: list[float]
    in_time: float


def main() -> None:
    """Print the table."""
    limner, naive = asyncio.run(_limner()), asyncio.run(_naive())
    for title, ours, theirs in zip(
        (f"{PEOPLE} /imagine at one moment while pictures are painted", f"{RATE} /imagine a second for {SECONDS} s"),
        limner,
        naive,
        strict=True,
    ):
        show(
            title,
            ("", "p50, seconds", "p99, seconds", f"accepted within {ACKNOWLEDGE_SECONDS:.0f} s"),
            [("Limner", *_figures(ours)), ("naive bot", *_figures(theirs))],
            f"Median (lowest to highest) of {ROUNDS} rounds.",
        )


async def _limner() -> tuple[list[Round], list[Round]]:
    async with fresh_studio() as studio:
        await studio.start(stderr=DEVNULL)
        measured = await _measure(studio.server)
    async with fresh_studio(workers=0) as studio:
        await studio.start(stderr=DEVNULL)
        await _measure_typing(studio.server)
    return measured


async def _measure_typing(server: DiscordServer) -> None:
    """Print how long one command takes alone and beside autocompletes, in turn."""
    alone, beside = list[float](), list[float]()
    for _ in range(PAIRS):
        alone.append(await _ask_beside(server, 0))
        beside.append(await _ask_beside(server, TYPING))
    show(
        f"one /imagine when {TYPING} autocompletes are in flight",
        ("", "seconds"),
        [("alone", spread(alone)), ("beside them", spread(beside))],
        f"Median (lowest to highest) of {PAIRS} commands each, in turn; {median(beside) / median(alone):.1f} times.",
    )


async def _ask_beside(server: DiscordServer, typing: int) -> float:
    suggestions = [
        server.suggest(1000 + number, CHANNEL, "imagine", "style", "wat", wait=100.0) for number in range(typing)
    ]
    suggesting = [asyncio.create_task(one) for one in suggestions]
    await asyncio.sleep(0)
    asked = await server.slash(99, CHANNEL, "imagine", prompt="a red cat", wait=100.0)
    await asyncio.gather(*suggesting)
    return asked.seconds or 0.0


async def _naive() -> tuple[list[Round], list[Round]]:
    card = Settings().default_card
    async with DiscordServer(judges=False).open() as server:
        command = ("-m", "tests.naive_bot", server.address, card.source, str(card.num_inference_steps))
        bot = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stderr=DEVNULL)
        try:
            await server.online()
            return await _measure(server)
        finally:
            bot.kill()
            await bot.wait()


async def _measure(server: DiscordServer) -> tuple[list[Round], list[Round]]:
    """Rounds of commands at one moment, and rounds of commands that come one after the other."""
    for user in range(1, 1 + BUSY):
        await server.slash(user, CHANNEL, "imagine", prompt="a red cat in the snow")
    await until(lambda: any(post.files for post in server.visible()), 60, "the first picture")
    return [await _round(server, PEOPLE, 0.0) for _ in range(ROUNDS)], [
        await _round(server, RATE * SECONDS, 1 / RATE) for _ in range(ROUNDS)
    ]


async def _round(server: DiscordServer, people: int, pause: float) -> Round:
    asking: list[asyncio.Task[Asked]] = []
    for person in range(people):
        command = server.slash(100 + person, CHANNEL, "imagine", prompt=f"a red cat {person}", wait=100.0)
        asking.append(asyncio.create_task(command))
        if pause:
            await asyncio.sleep(pause)
    answers = await asyncio.gather(*asking)
    return Round([one.seconds or 0.0 for one in answers], sum(map(_is_yes, answers)) / people)


def _is_yes(asked: Asked) -> bool:
    return asked.message is not None and asked.kind in PLACEHOLDERS and not asked.message.ephemeral


def _figures(rounds: list[Round]) -> list[str]:
    halves = [share(one.seconds, 0.50) for one in rounds]
    slowest = [share(one.seconds, 0.99) for one in rounds]
    return [spread(halves), spread(slowest), spread([100 * one.in_time for one in rounds], "{:.1f} %")]


if __name__ == "__main__":
    main()
