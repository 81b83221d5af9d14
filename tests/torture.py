"""Torture: people ask at random, processes die at random, Discord fails at random; then everything is counted."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from limner.bot.storage.history.history import ABANDONED_SECONDS
from tests.discord_records import CHANNEL, Fault, Post, until
from tests.discord_server import DiscordServer
from tests.moved_clock import MovedClock
from tests.studio import Studio, Victim, open_studio

USERS = 8
BUSY_SECONDS = 4.0
"""How long people ask and processes are killed; what is open then must be answered."""
PATIENCE_SECONDS = 150.0
LATE_SECONDS = 60.0
"""An answer that comes so many seconds after the last kill is late."""
FAULT_SHARE = 0.2
CLOCK_STEPS = (-3600.0, -90.0, 90.0, 3600.0)
"""Seconds by which the clock is moved while both processes are down."""
VICTIMS: tuple[Victim, ...] = ("bot", "worker", "both")


@dataclass
class Round:
    """What one seed did, and what was counted afterwards."""

    seed: int
    accepted: int = 0
    painted: int = 0
    cancelled: int = 0
    failed: int = 0
    never_seen: int = 0
    bots_killed: int = 0
    workers_killed: int = 0
    clock_moves: int = 0
    faults: int = 0
    unanswered: int = 0
    answered_twice: int = 0
    late: int = 0
    wrong_files: int = 0
    left_files: int = 0
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a test report."""
        return asdict(self)


class Arena:
    """One Discord and one data folder through many rounds, as in a long life; a failed round begins a new one.

    With ``moves_clock`` each kill hits both processes, and the clock is set forward or back before they start again.
    """

    def __init__(self, folder: Path, *, moves_clock: bool = False, **settings: Any) -> None:
        self._folder = folder
        self._settings = {"expander": "off", "device": "cpu"} | settings
        self._clock = MovedClock(folder / "clock") if moves_clock else None
        self._lives = 0
        self._stack = AsyncExitStack()
        self._faults: list[Fault] = []
        self._seen = 0
        self.server: DiscordServer
        self.studio: Studio

    async def open(self) -> None:
        """Start the bot and its worker on an empty data folder."""
        self._lives += 1
        self._seen = 0
        self.server = await self._stack.enter_async_context(DiscordServer(channels=USERS).open())
        self.studio = await self._stack.enter_async_context(
            open_studio(
                self._folder / str(self._lives),
                self.server,
                **self._settings,
                max_steps=1000,
                max_jobs_per_user=100,
                lease_seconds=2,
                log_level="ERROR",
            )
        )
        if self._clock:
            self.studio.python_path.insert(0, str(self._clock.folder))
        await self.studio.start()

    async def close(self) -> None:
        """End every process."""
        await self._stack.aclose()

    async def play(self, seed: int) -> Round:
        """One round; the same seed asks, kills and fails alike, as far as the machine's pace allows."""
        round_, dice = Round(seed), random.Random(seed)
        started = time.monotonic()
        self._fail(dice)
        try:
            asking = [asyncio.create_task(self._ask(user, random.Random(f"{seed} {user}"))) for user in range(USERS)]
            await self._kill(dice, round_)
            await asyncio.gather(*asking)
            with suppress(TimeoutError):
                await until(self._all_answered, LATE_SECONDS)
            round_.late = sum(not row["delivered_at"] for row in self.studio.rows())
            await until(self._all_answered, PATIENCE_SECONDS, "every answer is delivered")
        except TimeoutError as error:
            round_.trouble.append(str(error))
        round_.faults = sum(fault.met for fault in self._faults)
        self.server.faults.clear()
        await self._count(round_)
        round_.seconds = time.monotonic() - started
        return round_

    # What happens.

    async def _ask(self, user: int, dice: random.Random) -> None:
        """One member: some requests, some of them cancelled, in a channel of his own."""
        for at in sorted(dice.uniform(0, BUSY_SECONDS) for _ in range(dice.randint(1, 2))):
            await asyncio.sleep(max(0.0, at - dice.uniform(0, 1)))
            if not self.server.sessions:
                continue  # Discord shows the command as failed: nothing was accepted
            count, steps, seed = dice.randint(1, 2), dice.choice((3, 10, 60)), dice.randrange(2**32)
            options = {"prompt": "a red cat", "count": count, "steps": steps, "seed": seed}
            with suppress(TimeoutError):
                asked = await self.server.slash(user, CHANNEL + user, "imagine", wait=3, **options)
                if asked.message and dice.random() < 0.2:
                    await self._cancel(user, asked.message)

    async def _cancel(self, user: int, post: Post) -> None:
        for custom_id in post.custom_ids:
            if custom_id.startswith("limner:cancel:"):
                await self.server.click(user, post, custom_id, wait=3)

    async def _kill(self, dice: random.Random, round_: Round) -> None:
        for _ in range(dice.randint(1, 2)):
            await asyncio.sleep(dice.uniform(0, BUSY_SECONDS / 2))
            victim = "both" if self._clock else dice.choice(VICTIMS)
            if victim != "bot" and not self.studio.workers():
                continue  # the last one is not back yet
            await self.studio.kill(victim)
            round_.workers_killed += victim != "bot"
            if self._clock:
                self._clock.move(dice.choice(CLOCK_STEPS))
                round_.clock_moves += 1
            if victim != "worker":
                round_.bots_killed += 1
                await self.studio.start()

    def _fail(self, dice: random.Random) -> None:
        """A fifth of all requests to Discord meets a 429, a 500, or a connection that breaks before or after it."""
        kinds: list[dict[str, Any]] = [{"status": 429}, {"status": 500}]
        kinds += [{"status": 0, "hang": dice.uniform(0.1, 2), "heard": heard} for heard in (False, True)]
        share = 1 - (1 - FAULT_SHARE) ** (1 / len(kinds))
        self._faults = [
            Fault(lambda request: "/messages" in request.path or "/callback" in request.path, fraction=share, **kind)
            for kind in kinds
        ]
        self.server.faults = self._faults

    def _all_answered(self) -> bool:
        return all(row["delivered_at"] for row in self.studio.rows())

    # What is counted.

    async def _count(self, round_: Round) -> None:
        rows = [row for row in self.studio.rows() if row["id"] > self._seen]
        self._seen = max([self._seen, *(row["id"] for row in rows)])
        round_.accepted = len(rows)
        posts = [post for channel in self.server.channels for post in self.server.visible(channel)]
        images = self.studio.rows("images")
        for row in rows:
            shown = [post for post in posts if _is_of(post, row["id"])]
            setattr(round_, _counter(row), getattr(round_, _counter(row)) + 1)
            round_.answered_twice += len(shown) > 1
            gone = row["status"] == "cancelled" and not shown
            round_.never_seen += gone
            round_.unanswered += not row["delivered_at"] or not (gone or any(_is_answer(post, row) for post in shown))
            hashes = [image["sha256"] for image in images if image["job_id"] == row["id"]]
            sent = [hashlib.sha256(file.data).hexdigest() for post in shown for file in post.files]
            round_.wrong_files += sent != hashes or len(hashes) != (row["samples"] if _painted(row) else 0)
        with suppress(TimeoutError):
            await until(lambda: not self._left(images), 75, "the worker sweeps what was left")
        round_.left_files = len(self._left(images))
        round_.trouble += [f"unknown request {path}" for path in self.server.unknown]
        for name in ("unanswered", "answered_twice", "late", "wrong_files", "left_files"):
            if getattr(round_, name):
                round_.trouble.append(f"{getattr(round_, name)} {name}")

    def _left(self, images: list[dict[str, Any]]) -> set[str]:
        """Files that no row knows. What a killed process left is made old: it is swept when nobody can be at it."""
        moved = self._clock.seconds if self._clock else 0.0
        old = time.time() + moved - 2 * ABANDONED_SECONDS
        leftovers = (path for path in self.studio.folder.glob("images/*/*") if path.suffix in (".part", ".new"))
        for leftover in leftovers:
            with suppress(FileNotFoundError):
                os.utime(leftover, (old, old))
        return self.studio.files() - {f"{image['sha256']}.png" for image in images}


def table(rounds: list[dict[str, Any]]) -> Table:
    """One line for each round, and their sums."""
    names = [name for name in Round(0).to_json() if name != "trouble"]
    totals = {name: sum(one[name] for one in rounds) for name in names} | {"seed": f"{len(rounds)} seeds"}
    shown = Table(title="Torture", title_justify="left", show_footer=True)
    for name in names:
        total = totals[name]
        shown.add_column(name.replace("_", "\n"), f"{total:.0f}" if name == "seconds" else str(total), justify="right")
    for one in sorted(rounds, key=lambda one: one["seed"]):
        shown.add_row(*(f"{one[name]:.0f}" for name in names))
    return shown


def _is_of(post: Post, job_id: int) -> bool:
    return any(custom_id.split(":")[2:3] == [str(job_id)] for custom_id in post.custom_ids)


def _is_answer(post: Post, row: dict[str, Any]) -> bool:
    """The pictures, or the reason why there are none."""
    return bool(post.files) if _painted(row) else row["reason"] in post.content


def _painted(row: dict[str, Any]) -> bool:
    return row["status"] == "succeeded"


def _counter(row: dict[str, Any]) -> str:
    return "painted" if _painted(row) else row["status"]
