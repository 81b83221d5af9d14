"""Batches concurrent database operations into one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from limner.bot.background import start
from limner.bot.errors import UserError
from limner.bot.storage.db import BUSY_SECONDS

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
Transaction = Callable[[Sequence[Asked], float], Awaitable[Sequence[Answered]]]

MOST = 500
"""Most operations in one transaction."""


class Together(Generic[Asked, Answered]):
    """Runs one transaction at a time; operations requested meanwhile share the next one.

    On SQLite each commit waits for the disk, and each statement for another thread; so a burst of commands costs little
    more than one.

    Args:
        transaction: given what is asked in the order in which it came, and the seconds that it may wait for the write
            lock, commits everything and returns an answer for each. A UserError of it is raised to all; after
            another error each is asked again in a transaction of its own, so no mistake costs others their answer.
    """

    def __init__(self, transaction: Transaction[Asked, Answered]) -> None:
        self._transaction = transaction
        self._waiting: dict[asyncio.Future[Answered], tuple[Asked, float]] = {}
        self._running: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answered:
        """The result of one operation; raises as described above.

        Callers cancelled before its transaction are left out.
        """
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = asked, time.monotonic() + BUSY_SECONDS
        if self._running is None:
            self._running = start(self._answer_all(), "limner-together")
        try:
            return await answer
        finally:
            self._waiting.pop(answer, None)

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                some = dict(list(self._waiting.items())[:MOST])
                for answer in some:
                    del self._waiting[answer]
                await self._answer(some)
        finally:
            self._running = None

    async def _answer(self, some: Mapping[asyncio.Future[Answered], tuple[Asked, float]]) -> None:
        left = min(deadline for _, deadline in some.values()) - time.monotonic()
        patience = min(BUSY_SECONDS, max(0.0, left))  # in the demo the caller's clock runs ahead of this task's
        error: Exception | None = None
        answers: Sequence[Answered] = ()
        try:
            answers = await self._transaction([asked for asked, _ in some.values()], patience)
        except UserError as problem:
            error = problem
        except Exception as problem:
            if len(some) > 1:
                for answer, one in some.items():
                    await self._answer({answer: one})
                return
            error = problem
        for number, answer in enumerate(some):
            if answer.done():  # the caller was cancelled
                continue
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(answers[number])
