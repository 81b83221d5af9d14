"""Background tasks, lanes and turns of limited concurrency, signals, and retries of database writes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from limner.bot.errors import DatabaseBusy, StorageFailed, UserError

log = logging.getLogger(__name__)

WRITE_AGAIN_SECONDS = 1.0
"""Seconds between two attempts of a write that a busy or full database refused."""

T = TypeVar("T")


class Lanes:
    """Runs at most ``most`` tasks at once, and one per key, such as a channel id."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: dict[int, asyncio.Task[None]] = {}

    @property
    def busy(self) -> Collection[int]:
        """The keys with a running task."""
        return self._busy.keys()

    def begin(self, lane: int, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Start a task for a key; False if the key, or every lane, is busy. The task must handle its own errors."""
        if lane in self._busy or len(self._busy) >= self._most:
            return False
        self._busy[lane] = start(self._work(lane, work), name)
        return True

    async def close(self, patience: float) -> None:
        """Wait some seconds for the running tasks, then cancel the rest."""
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


class CommandsFirst:
    """Lets a few suggestions be made at once, and none while a command is being answered.

    Args:
        most: suggestions that are made at once.
        patience: seconds that a suggestion waits for commands; Discord accepts it for three.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._few = asyncio.Semaphore(most)
        self._patience = patience
        self._commands = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def command(self) -> Generator[None]:
        """Answer a command inside this block."""
        self._commands += 1
        self._free.clear()
        try:
            yield
        finally:
            self._commands -= 1
            if not self._commands:
                self._free.set()

    @asynccontextmanager
    async def suggestion(self) -> AsyncGenerator[None]:
        """Make and send suggestions inside this block; its beginning waits for its turn."""
        async with self._few:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._free.wait()
            yield


async def wait_for(call: Future[Any], seconds: float) -> None:
    """Wait until a thread's call has ended, at most so long; its error stays in it and is not logged."""
    ended = asyncio.wrap_future(call)
    ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.wait({ended}, timeout=seconds)


async def to_its_end(work: Coroutine[None, None, T]) -> T:
    """Finish ``work`` before a cancellation takes effect: an interrupted connection stays open until collected."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def start(work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
    """Run ``work`` as a task in a context of its own, because it belongs to the App and not to its caller."""
    return contextvars.Context().run(lambda: asyncio.get_running_loop().create_task(work, name=name))


def cancel_on_signals(task: asyncio.Future[Any]) -> None:
    """Cancel a task on SIGINT and SIGTERM; on Windows Ctrl-C cancels the main task."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, task.cancel)


@asynccontextmanager
async def running(work: Coroutine[None, None, None], name: str) -> AsyncGenerator[None]:
    """Run a coroutine in the background for the length of the block."""
    task = start(work, name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def at_leisure(read: Callable[[], Awaitable[object]]) -> None:
    """Read what a later call reads as well; what the database refuses is logged."""
    try:
        await read()
    except UserError as error:
        log.warning("reading_waits code=%s", error.code)


async def patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Retry until the database accepts the write: the work is done already and must not be lost."""
    while True:
        try:
            return await write()
        except (DatabaseBusy, StorageFailed) as error:
            log.warning("database_waits code=%s", error.code)
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
