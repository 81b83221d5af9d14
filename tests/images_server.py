"""An OpenAI-compatible images server that paints plain pictures from the seed, and fails in every way that one can."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

Json = dict[str, Any]


@dataclass
class PaintingServer:
    """What it was asked for is in ``asked``; the next answers are those in ``faults``, then pictures."""

    address: str = ""
    key: str = ""
    asked: list[Json] = field(default_factory=list[Json])
    files: list[list[tuple[str, Image.Image]]] = field(default_factory=list[list[tuple[str, Image.Image]]])
    faults: list[web.Response] = field(default_factory=list[web.Response])
    refuse: Callable[[Json], web.Response | None] = lambda _: None
    free: asyncio.Event = field(default_factory=asyncio.Event)
    step_seconds: float = 0.0
    is_noisy: bool = False
    hung_up: int = 0
    busiest: int = 0
    _busy: int = 0

    async def generations(self, request: web.Request) -> web.StreamResponse:
        return await self._paint(request, await request.json())

    async def edits(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        files = [(name, value) for name, value in form.items() if isinstance(value, web.FileField)]
        self.files.append([(name, Image.open(io.BytesIO(value.file.read()))) for name, value in files])
        return await self._paint(request, {name: value for name, value in form.items() if isinstance(value, str)})

    async def _paint(self, request: web.Request, body: Json) -> web.StreamResponse:
        self.asked.append(body)
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return error(401, "Incorrect API key provided.", code="invalid_api_key")
        if refusal := self.refuse(body):
            return refusal
        if self.faults:
            return self.faults.pop(0)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            await self.free.wait()
            await asyncio.sleep(self.step_seconds * int(body.get("num_inference_steps", 1)))
        except asyncio.CancelledError:
            self.hung_up += 1
            raise
        finally:
            self._busy -= 1
        image = (noise if self.is_noisy else paint)(int(body.get("seed", 0)), body.get("size", "64x48"))
        return await stream(request, image) if body.get("stream") else answer(image)

    async def models(self, request: web.Request) -> web.Response:
        right = not self.key or request.headers.get("Authorization") == f"Bearer {self.key}"
        return web.json_response({"object": "list", "data": []}, status=200 if right else 401)


def settings_of(server: PaintingServer) -> Json:
    """The settings of a Limner for which the server paints, so that none of its processes loads torch."""
    return {"executor": "openai", "images_url": server.address, "expander": "off", "safety_classifier": "off"}


def paint(seed: int, size: str) -> Image.Image:
    """A picture of one colour, which is the seed."""
    width, height = map(int, size.split("x"))
    return Image.new("RGB", (width, height), (seed & 255, seed >> 8 & 255, seed >> 16 & 255))


def noise(seed: int, size: str) -> Image.Image:
    """A picture of noise, whose file takes as much room as it can."""
    width, height = map(int, size.split("x"))
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))


def answer(image: Image.Image) -> web.Response:
    """A picture as the API sends it."""
    return encoded(base64.b64decode(_base64(image)))


async def stream(request: web.Request, image: Image.Image) -> web.StreamResponse:
    """The picture as OpenAI streams it, a rough one first."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for kind, one in (("partial_image", image.reduce(4)), ("completed", image)):
        event = {"type": f"image_generation.{kind}", "b64_json": _base64(one)}
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return response


def _base64(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def encoded(data: bytes) -> web.Response:
    """Any bytes where a picture should be."""
    return web.json_response({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]})


def error(status: int, message: str, **more: Any) -> web.Response:
    """An error as OpenAI writes it."""
    return web.json_response({"error": {"message": message, **more}}, status=status)


@asynccontextmanager
async def open_painting_server(port: int = 0) -> AsyncGenerator[PaintingServer]:
    """A server on this machine until the block ends; at a free port unless one is named."""
    server, application = PaintingServer(), web.Application()
    server.free.set()
    application.add_routes(
        [
            web.post("/v1/images/generations", server.generations),
            web.post("/v1/images/edits", server.edits),
            web.get("/v1/models", server.models),
        ]
    )
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server.address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
