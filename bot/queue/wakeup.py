"""Wake-ups between processes that rows have changed, so that polling can be rare."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


class Wakeup:
    """An event that other processes can set too.

    `ring` wakes this process and, through ``listeners``, the others; `hear` wakes this process only. A lost wake-up
    costs time, never work: waiters also read the rows after their timeout.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake this process and all listeners."""
        self.hear()
        for listener in self.listeners:
            listener()

    def hear(self) -> None:
        """Wake this process."""
        self._event.set()

    @property
    def is_ringing(self) -> bool:
        """Whether it was rung since the last `wait` returned."""
        return self._event.is_set()

    async def wait(self, timeout: float) -> None:
        """Return at the next wake-up, or after ``timeout`` seconds without one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        self._event.clear()


CHANGED, ALIVE = b"changed\n", b"alive\n"
"""A worker's messages to its supervisor: rows have changed, and its event loop runs."""


def take_stdout() -> Callable[[bytes], None]:
    """Reserve stdout for messages to the parent process; libraries' output goes to stderr from now on.

    Returns:
        A function that sends one message to the parent and never blocks.
    """
    parent = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if sys.platform != "win32":
        os.set_blocking(parent, False)

    def say(word: bytes) -> None:
        with contextlib.suppress(OSError):  # a full pipe already carries a wake-up, a broken one has no reader
            os.write(parent, word)

    return say


def hear_stdin(wake: Callable[[], None], end: Callable[[], None]) -> None:
    """Call ``wake`` in this loop for each line on stdin, and ``end`` once when stdin is closed."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process is exiting
            while os.read(0, 4096):  # sys.stdin would hold a lock that can crash the interpreter's shutdown
                loop.call_soon_threadsafe(wake)
            loop.call_soon_threadsafe(end)

    threading.Thread(target=listen, name="stdin", daemon=True).start()
