"""One thread for the work of many servers, one task of each server in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import chain
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_TOGETHER_SECONDS = 0.002
"""How long finished tasks wait for others, so that the event loop is woken once for all."""


class _Piece(NamedTuple):
    work: Callable[[], Any]
    answer: asyncio.Future[Any]


class FairThread:
    """Runs functions beside the event loop: a server's next task waits for at most one task of each other server.

    A task whose caller was cancelled is not started.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = Lock()
        self._waiting: dict[int, deque[_Piece]] = {}
        self._is_running = False

    async def run(self, server_id: int, work: Callable[[], T]) -> T:
        """The result of ``work``, in the server's turn; raises its exception."""
        loop = asyncio.get_running_loop()
        piece = _Piece(partial(copy_context().run, work), loop.create_future())
        with self._lock:
            self._waiting.setdefault(server_id, deque()).append(piece)
            is_idle, self._is_running = not self._is_running, True
        if is_idle:
            self._executor.submit(self._work_off, loop)
        return await piece.answer

    def close(self) -> None:
        """End the thread; waiting tasks are not started, and their callers are cancelled."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for piece in chain.from_iterable(waiting.values()):
            piece.answer.cancel()
        self._executor.shutdown(wait=False)

    def _work_off(self, loop: asyncio.AbstractEventLoop) -> None:
        done: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        started = monotonic()
        while (piece := self._next()) is not None:
            if not piece.answer.cancelled():
                done.append((piece.answer, *_outcome(piece.work)))
            if monotonic() - started > _TOGETHER_SECONDS:
                _tell(loop, done)
                done, started = [], monotonic()
        _tell(loop, done)

    def _next(self) -> _Piece | None:
        """The next task of the server whose turn it is; it then goes to the end of the line."""
        with self._lock:
            if not self._waiting:
                self._is_running = False
                return None
            server_id = next(iter(self._waiting))
            pieces = self._waiting.pop(server_id)
            piece = pieces.popleft()
            if pieces:
                self._waiting[server_id] = pieces
            return piece


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # raised in the awaiting caller
        return None, error


def _tell(loop: asyncio.AbstractEventLoop, done: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    if done:
        with suppress(RuntimeError):  # the loop is closed: there are no waiting callers
            loop.call_soon_threadsafe(_answer, done)


def _answer(done: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in done:
        if future.cancelled():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
