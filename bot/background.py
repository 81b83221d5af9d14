"""Lanes: work in the background, one piece at a time in each, so that a slow lane holds up only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine

from limner.bot.app import start


class Lanes:
    """At most ``most`` lanes at work at once; a lane is named by a number, such as a channel's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: dict[int, asyncio.Task[None]] = {}

    @property
    def busy(self) -> Collection[int]:
        """The lanes that are at work."""
        return self._busy.keys()

    def begin(self, lane: int, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Work in a lane; False if it, or every one, is busy. The work must answer for its own errors."""
        if lane in self._busy or len(self._busy) >= self._most:
            return False
        self._busy[lane] = start(self._work(lane, work), name)
        return True

    async def close(self, patience: float) -> None:
        """Give what is at work some seconds to end, and cut off the rest."""
        tasks = list(self._busy.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, lane: int, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            del self._busy[lane]


async def to_its_end(work: Coroutine[None, None, None]) -> None:
    """Do ``work`` whole, and be cancelled only after it: a connection that is cut off stays open until collected."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
