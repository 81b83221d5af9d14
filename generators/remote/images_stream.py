"""Server-sent events of an images server: rough pictures while it paints, then the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp

from limner.generators.answers import parse_json


async def events(response: aiohttp.ClientResponse, most_bytes: int) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events; what is no JSON object is left out.

    OpenAI's events (https://platform.openai.com/docs/api-reference/images-streaming) have a ``type`` that ends with
    ``partial_image`` or ``completed`` and the picture in ``b64_json``; vLLM-Omni's last one has ``data``.

    Raises:
        ValueError: the stream has more than ``most_bytes``; the rest is not read.
    """
    line, left = bytearray(), most_bytes
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"the stream has more than {most_bytes} bytes")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if (event := _event(bytes(line + end))) is not None:
                yield event
            line = bytearray()
        line += rest


def _event(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"data:"):
        return None
    try:
        value = parse_json(line.removeprefix(b"data:"))
    except ValueError:  # [DONE]
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
