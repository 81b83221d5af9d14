"""Bounds the bytes of files that this process holds; requests beyond the bound wait in fair order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

MOST_HELD = 64 * 2**20
"""Bytes of uploads and of large messages that are held at one time."""

MESSAGE_BYTES = 24 * 2**20
"""Bytes of files in one message; Discord takes requests of at most 25 MiB (Create Message, in its documentation)."""


class ByteBudget:
    """At most ``most`` bytes are held at a time; first come, first served, one turn per owner at a time."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._owners: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, owner: int) -> AsyncGenerator[None]:
        """Run one task of an owner at a time, so that other owners wait for at most one of them."""
        lock = self._owners.setdefault(owner, asyncio.Lock())
        async with lock:
            yield

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncGenerator[None]:
        """Hold so many bytes; a request for more than the bound holds all of it."""
        amount = min(amount, self._most)
        await self._acquire(amount)
        try:
            yield
        finally:
            self._free += amount
            self._give()

    async def _acquire(self, amount: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = deque(one for one in self._waiting if one[1] is not turn)
            else:
                self._free += amount
            self._give()
            raise

    def _give(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= amount
                turn.set_result(None)
