"""Bounds the bytes of files that this process holds; requests beyond the bound wait in fair order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
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
        self._turns: dict[int, asyncio.Task[Any]] = {}

    @asynccontextmanager
    async def turn(self, owner: int) -> AsyncGenerator[None]:
        """Run one task of an owner at a time, so that other owners wait for at most one of them."""
        lock = self._owners.setdefault(owner, asyncio.Lock())
        async with lock:
            yield

    async def begin(self, owner: int, task: asyncio.Task[Any]) -> None:
        """Give a task the owner's turn until it ends, so that what it writes counts before the next one looks."""
        if self._turns.get(owner) is task:
            return
        lock = self._owners.setdefault(owner, asyncio.Lock())
        await lock.acquire()
        self._turns[owner] = task
        task.add_done_callback(lambda _: self._end(owner, lock))

    def _end(self, owner: int, lock: asyncio.Lock) -> None:
        del self._turns[owner]
        lock.release()

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
