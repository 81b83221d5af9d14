"""Client of a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from limner.generators.answers import parse_json, read_answer

MOST_BYTES = 2**20
"""Longest answer that is read; thousands of words of a reasoning model fit."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
PAUSES = (0.2, 0.8)
"""Seconds before the second and the third attempt."""


class ChatClient:
    """Asks one model of one server: Ollama, vLLM, llama.cpp, LocalAI, a hosted one."""

    def __init__(self, url: str, api_key: str, timeout: float) -> None:
        self._url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, body: dict[str, Any]) -> bytes:
        """The answer to a request's body, which `content_of` reads; it is asked three times at most.

        Raises:
            TimeoutError: the tries and pauses together took longer than the timeout.
            aiohttp.ClientError: the server is away or refuses.
            ValueError: the answer is longer than `MOST_BYTES`.
        """
        async with asyncio.timeout(self._timeout):
            for pause in PAUSES:
                try:
                    return await self._post(body)
                except aiohttp.ClientResponseError as error:
                    if error.status not in RETRIED:
                        raise
                except (aiohttp.ClientConnectionError, aiohttp.ServerTimeoutError):
                    pass
                await asyncio.sleep(pause)
            return await self._post(body)

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _post(self, body: dict[str, Any]) -> bytes:
        if self._session is None:
            # An answer may take all the time; a missing server is detected early.
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout / 4)
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=limits)
        async with self._session.post(self._url, json=body, allow_redirects=False) as response:
            response.raise_for_status()
            return await read_answer(response, MOST_BYTES)


def first_choice(data: bytes) -> dict[str, Any]:
    """The first choice of an answer; raises ValueError, LookupError or TypeError for anything else."""
    return parse_json(data)["choices"][0]
