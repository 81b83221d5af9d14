"""Servers that paint the same model: which of them gets the next request, and which of them rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from limner.generators.errors import ServersDown

FIRST_REST, LONGEST_REST = 0.5, 60.0
"""Seconds for which a server that does not answer gets no request: doubled each time, until it answers again."""

PATIENCE = 5.0
"""Seconds for which a request waits for a server; meanwhile other models' requests wait too."""


@dataclass
class Server:
    """One server: its address, how many requests it has of this process, and until when it gets no other one."""

    address: str
    requests: int = 0
    rests_until: float = 0.0
    silences: int = 0

    @contextmanager
    def busy(self) -> Generator[None]:
        """Count a request while it is in progress."""
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def answered(self) -> None:
        """The server answers (again)."""
        self.silences = 0

    def fell_silent(self) -> None:
        """The server cannot be reached, or did not answer in time or to the end."""
        self.rest(FIRST_REST * 2 ** min(self.silences, 10))
        self.silences += 1

    def rest(self, seconds: float) -> None:
        """Send nothing to the server for so many seconds, a minute at most."""
        self.rests_until = time.monotonic() + min(seconds, LONGEST_REST)


class ModelServers:
    """The servers of a model: the one with the fewest requests of this process is next, without those that rest."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._servers = [Server(address) for address in addresses]

    async def free(self, patience: float = PATIENCE) -> Server:
        """The server for the next request; waits while all of them rest.

        Raises:
            ServersDown: all rest for more than ``patience`` seconds.
        """
        until = time.monotonic() + patience
        while True:
            now = time.monotonic()
            awake = [server for server in self._servers if server.rests_until <= now]
            if awake:
                return min(awake, key=lambda server: server.requests)
            wakes = min(server.rests_until for server in self._servers)
            if wakes > until:
                raise ServersDown
            await asyncio.sleep(wakes - now)
