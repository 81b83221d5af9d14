"""What the clients of servers share: connections, tables in JSON, and pictures as files."""

from __future__ import annotations

import io
from typing import Any, cast

import aiohttp
from PIL import Image

from limner.generators.cards.model_card import ImagesServer
from limner.generators.image_files import OWN_FORMATS, open_image, read_file

CONNECT_SECONDS = 10.0
"""Longest time until a server accepts a connection."""
UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def open_session(server: ImagesServer) -> aiohttp.ClientSession:
    """A session with the server's key; the generator limits the number of requests at once."""
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    limits = aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_SECONDS, server.timeout))
    return aiohttp.ClientSession(headers=headers, timeout=limits, connector=aiohttp.TCPConnector(limit=0))


def table(value: Any) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def opened(address: str) -> Image.Image:
    """A stored picture, given by its path or in a ``data:`` URI."""
    return open_image(read_file(address), formats=OWN_FORMATS)


def png(image: Image.Image) -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
