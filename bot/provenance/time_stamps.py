"""Time stamp authorities: each is asked for a limited time, and not for a while after it failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from threading import Thread

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Longest wait for a signature with a time stamp; C2PA's library waits for 30 seconds."""
PAUSE_SECONDS = 60.0
"""So long an authority is not asked again after it failed."""


class TimeStampAuthority:
    """One authority, for all pictures that a process signs."""

    def __init__(self, address: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._address = address
        self._answer_seconds = answer_seconds
        self._silent_until = 0.0

    def stamped(self, sign: Callable[[str], bytes | None]) -> bytes | None:
        """What ``sign`` makes with the authority's address; None where that fails, takes too long or failed lately.

        ``sign`` cannot be interrupted, so it runs in a thread of its own, for which nobody waits longer.
        """
        if time.monotonic() < self._silent_until:
            return None
        answer = Future[bytes | None]()
        Thread(target=_answer, args=(answer, sign, self._address), daemon=True, name="time-stamp").start()
        try:
            made = answer.result(self._answer_seconds)
        except TimeoutError:
            made = None
        if made is None:
            log.warning("time_stamp_missing pause=%.0f", PAUSE_SECONDS)
            self._silent_until = time.monotonic() + PAUSE_SECONDS
        return made


@cache
def authority(address: str) -> TimeStampAuthority:
    """The authority at an address; one in a process."""
    return TimeStampAuthority(address)


def _answer(answer: Future[bytes | None], sign: Callable[[str], bytes | None], address: str) -> None:
    answer.set_result(sign(address))
