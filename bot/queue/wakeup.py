"""Wake-ups between processes: a nudge that rows have changed, so that nobody has to poll often."""

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
    """An alarm clock that may also be rung by another process.

    `ring` tells everybody (this process and, through ``listeners``, the others); `hear` tells this process only. A
    lost ring costs time, never work: whoever waits also looks at the rows when its timeout ends.
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
        """Whether it has been rung since the last `wait` returned."""
        return self._event.is_set()

    async def wait(self, timeout: float) -> None:
        """Return at the next wake-up, or after ``timeout`` seconds without one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        self._event.clear()


CHANGED, ALIVE = b"changed\n", b"alive\n"
"""What a worker says to its supervisor: there may be something to show, and its event loop turns."""


def take_stdout() -> Callable[[bytes], None]:
    """Keep stdout for words to the parent process; what libraries print goes to stderr from now on.

    Returns:
        A function that says one of them to the parent and never blocks.
    """
    parent = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if sys.platform != "win32":
        os.set_blocking(parent, False)

    def say(word: bytes) -> None:
        with contextlib.suppress(OSError):  # a full pipe holds words enough, a broken one has nobody to hear them
            os.write(parent, word)

    return say


def hear_stdin(wake: Callable[[], None], end: Callable[[], None]) -> None:
    """Call ``wake`` in this loop for the parent's wake-ups on stdin, and ``end`` once when it closes stdin or dies."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process is ending anyway
            while os.read(0, 4096):  # sys.stdin would hold a lock that the interpreter's end stumbles over
                loop.call_soon_threadsafe(wake)
            loop.call_soon_threadsafe(end)

    threading.Thread(target=listen, name="stdin", daemon=True).start()
