"""Faults and rate limits of the small Discord: connections that break or wait, statuses, and buckets of requests."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.discord_places import Refusal
from tests.discord_records import Fault, Gate, Matching

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Faults:
    """What happens to requests before they are handled.

    ``rate_limit`` is (requests, seconds) for each route in each channel, such as the real Discord's (5, 5.0).
    """

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.faults: list[Fault] = []
        self.rate_limit: tuple[int, float] | None = None
        self._random = random.Random(0)
        self._buckets: dict[str, deque[float]] = {}

    def hold(self, matching: Matching, *, heard: bool = False) -> Gate:
        """Stop the matching requests, so that the bot can be killed just there."""
        self.gates.append(Gate(matching, heard=heard))
        return self.gates[-1]

    def fail(self, matching: Matching, status: int, **more: Any) -> None:
        """Answer matching requests with an error; see `Fault`."""
        self.faults.append(Fault(matching, status, **more))

    @web.middleware
    async def meet_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        gates = [gate for gate in self.gates if gate.matching(request)]
        for gate in gates:
            if not gate.heard:
                await gate.stop()
        lost = self._refuse(request)
        if lost and not lost.heard:
            await _break(request, lost)
        headers = self._spend(request)
        response = await handler(request)
        if lost:
            await _break(request, lost)
        for gate in gates:
            if gate.heard:
                await gate.stop()
        if not response.prepared:
            response.headers.update(headers)
        return response

    def _refuse(self, request: web.Request) -> Fault | None:
        """Raise the fault that this request meets, or return it if the connection is to break."""
        for fault in self.faults:
            if fault.times and fault.matching(request) and self._random.random() < fault.fraction:
                fault.times -= 1
                fault.met += 1
                if fault.status == 0:
                    return fault
                if fault.status == 429:
                    raise Refusal(429, 0, "You are being rate limited.", retry_after=fault.retry_after)
                raise Refusal(fault.status, fault.code, "a fault of the test")
        return None

    def _spend(self, request: web.Request) -> dict[str, str]:
        """Count a request in its bucket; returns the headers with what is left."""
        channel = request.match_info.get("channel")
        if self.rate_limit is None or channel is None:
            return {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "999", "X-RateLimit-Reset-After": "1"}
        limit, seconds = self.rate_limit
        name = f"{request.method} {'messages' in request.path}"
        bucket, now = self._buckets.setdefault(f"{name} {channel}", deque()), time.monotonic()
        while bucket and bucket[0] <= now - seconds:
            bucket.popleft()
        reset = seconds - (now - bucket[0]) if bucket else seconds
        if len(bucket) >= limit:
            raise Refusal(429, 0, "You are being rate limited.", retry_after=reset)
        bucket.append(now)
        left = {"X-RateLimit-Remaining": str(limit - len(bucket)), "X-RateLimit-Reset-After": f"{reset:.3f}"}
        return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Bucket": re.sub(r"\W", "", name)} | left


async def _break(request: web.Request, fault: Fault) -> None:
    await asyncio.sleep(fault.hang)
    assert request.transport
    request.transport.abort()
    raise asyncio.CancelledError
