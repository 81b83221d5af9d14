"""Time stamp authorities: each is asked for a limited time and number of bytes, and not for a while after it failed.

C2PA's library asks the authority itself, and reads an answer of any length. So it gets the address of a relay in this
process, which asks the real one within limits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Longest wait for a signature with a time stamp; C2PA's library waits for 30 seconds."""
PAUSE_SECONDS = 60.0
"""So long an authority is not asked again after it failed."""
LARGEST_REQUEST, LARGEST_ANSWER = 2**10, 64 * 2**10
"""Bytes. A request is a hash and its name (RFC 3161), a time stamp with its certificates has some 6 kB."""
_HOST = "127.0.0.1"


class TimeStampAuthority:
    """One authority, for all pictures that a process signs."""

    def __init__(self, address: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._address = address
        self._answer_seconds = answer_seconds
        self._silent_until = 0.0
        self._relayed = ""

    def stamped(self, sign: Callable[[str], bytes | None]) -> bytes | None:
        """What ``sign`` makes with the address of a relay; None where that fails, takes too long or failed lately.

        ``sign`` cannot be interrupted, so it runs in a thread of its own, for which nobody waits longer.
        """
        if time.monotonic() < self._silent_until:
            return None
        self._relayed = self._relayed or _relayed(self._address, self._answer_seconds)
        answer = Future[bytes | None]()
        Thread(target=_answer, args=(answer, sign, self._relayed), daemon=True, name="time-stamp").start()
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


def _relayed(address: str, seconds: float) -> str:
    """The address of a relay on this machine that asks the authority, as long as this process lives."""
    if any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ):
        # Otherwise C2PA's library asks the proxy for what is in this process.
        besides = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
        os.environ["NO_PROXY"] = ",".join(filter(None, [besides, _HOST]))
    path = f"/{secrets.token_urlsafe()}"
    server = ThreadingHTTPServer((_HOST, 0), partial(_Relay, path, address, seconds))
    Thread(target=server.serve_forever, daemon=True, name="time-stamp-relay").start()
    return f"http://{_HOST}:{server.server_port}{path}"


class _Relay(BaseHTTPRequestHandler):
    timeout = ANSWER_SECONDS

    def __init__(self, path: str, address: str, seconds: float, *given: Any) -> None:
        self._path, self._address, self._seconds = path, address, seconds
        super().__init__(*given)

    def do_POST(self) -> None:
        """Give the authority's answer to a request."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != self._path or not 0 < length <= LARGEST_REQUEST:
            return self.send_error(HTTPStatus.NOT_FOUND)
        found = asyncio.run(_ask(self._address, self.rfile.read(length), self._seconds))
        if found is None:
            return self.send_error(HTTPStatus.BAD_GATEWAY)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: `TimeStampAuthority` logs what is missing."""


async def _ask(address: str, request: bytes, seconds: float) -> bytes | None:
    """The authority's answer; None if there is none within the time, or a longer one."""
    import aiohttp  # takes a while to load, and most pictures have no time stamp

    headers = {"Content-Type": "application/timestamp-query"}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(address, data=request, headers=headers) as response,
        ):
            response.raise_for_status()
            await response.content.readexactly(LARGEST_ANSWER + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return None
