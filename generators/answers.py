"""Bounded reading of HTTP responses, and JSON of any depth."""

from __future__ import annotations

import json
from typing import Any

import aiohttp


async def read_answer(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The body of a response, decompressed; the limit counts decompressed bytes.

    Raises:
        ValueError: it is longer; the rest is not read.
    """
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > most_bytes:
            raise ValueError(f"the answer has more than {most_bytes} bytes")
    return bytes(data)


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
