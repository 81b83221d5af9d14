"""A small ComfyUI: its routes and messages as its documentation has them, with pictures painted from the seed."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from PIL import Image

from tests.images_server import paint

Json = dict[str, Any]
WORKFLOW: Json = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": "%seed%",
            "steps": "%steps%",
            "cfg": "%guidance%",
            "sampler_name": "%sampler%",
            "denoise": 1.0,
        },
    },
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": "%width%", "height": "%height%", "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "masterpiece, %prompt%", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "%negative_prompt%", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "Limner", "images": ["8", 0]}},
}
"""A workflow of words alone, of which only the nodes with placeholders matter here."""
CHANGING: Json = {
    **WORKFLOW,
    "10": {"class_type": "LoadImage", "inputs": {"image": "%image%"}},
    "11": {"class_type": "LoadImageMask", "inputs": {"image": "%mask%", "channel": "red"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": "%seed%", "steps": "%steps%", "denoise": "%strength%"}},
}
"""A workflow that changes a part of a picture."""


@dataclass
class ComfyServer:
    """What was queued is in ``queued``; runs end once ``free`` is set, as ``fault`` says.

    ``refusals`` are the first answers to a websocket.
    """

    address: str = ""
    queued: list[Json] = field(default_factory=list[Json])
    files: dict[str, Image.Image] = field(default_factory=dict[str, Image.Image])
    interrupted: list[str] = field(default_factory=list[str])
    free: asyncio.Event = field(default_factory=asyncio.Event)
    fault: str = ""
    refusal: Json | None = None
    answer: bytes | None = None
    hangs_up: bool = False
    refusals: list[int] = field(default_factory=list[int])
    infos: Json = field(default_factory=lambda: {node["class_type"]: {"input": {}} for node in CHANGING.values()})
    _history: Json = field(default_factory=dict[str, Any])
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])
    _sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict[str, web.WebSocketResponse])

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            return web.Response(status=self.refusals.pop())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.query["clientId"]] = socket
        await socket.send_json({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}})
        if self.hangs_up:
            await socket.close()
        async for message in socket:
            assert message.type == WSMsgType.TEXT
        return socket

    async def prompt(self, request: web.Request) -> web.Response:
        body: Json = await request.json()
        if self.refusal:
            return web.json_response(self.refusal, status=400)
        self.queued.append(body["prompt"])
        run = str(uuid.uuid4())
        self._running[run] = asyncio.create_task(self._run(run, body))
        return web.json_response({"prompt_id": run, "number": len(self.queued), "node_errors": {}})

    async def _run(self, run: str, body: Json) -> None:
        inputs = body["prompt"]["3"]["inputs"]
        for step in range(1, inputs["steps"] + 1):
            await self._tell(body, "progress", {"value": step, "max": inputs["steps"], "prompt_id": run, "node": "3"})
        if (socket := self._sockets.get(body["client_id"])) and not socket.closed:
            await socket.send_bytes(b"\0\0\0\1\0\0\0\2" + _png(Image.new("RGB", (16, 12))))
        await self.free.wait()
        image = {"filename": f"{inputs['seed']}.png", "subfolder": "", "type": "output"}
        status: Json = {"status_str": "success", "completed": True, "messages": []}
        if self.fault:
            message = ["execution_error", {"prompt_id": run, "exception_type": self.fault}]
            status = {"status_str": "error", "completed": False, "messages": [message]}
        outputs = {} if self.fault else {"9": {"images": [image]}}
        self._history[run] = {"prompt": [], "outputs": outputs, "status": status}
        del self._running[run]
        await self._tell(body, "executing", {"node": None, "prompt_id": run})

    async def _tell(self, body: Json, kind: str, data: Json) -> None:
        if (socket := self._sockets.get(body["client_id"])) and not socket.closed:
            await socket.send_json({"type": kind, "data": data})

    async def history(self, request: web.Request) -> web.Response:
        run = request.match_info["run"]
        return web.json_response({run: self._history[run]} if run in self._history else {})

    async def queue(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"queue_running": [[0, run, {}, {}, []] for run in self._running], "queue_pending": []}
        )

    async def unqueue(self, request: web.Request) -> web.Response:
        await request.json()  # a run in progress is no queued one
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        run = (await request.json())["prompt_id"]
        self.interrupted.append(run)
        self._running.pop(run).cancel()
        return web.Response()

    async def view(self, request: web.Request) -> web.Response:
        seed = int(request.query["filename"].removesuffix(".png"))
        inputs = next(one["5"]["inputs"] for one in self.queued if one["3"]["inputs"]["seed"] == seed)
        image = paint(seed, f"{inputs['width']}x{inputs['height']}")
        return web.Response(body=self.answer or _png(image), content_type="image/png")

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["image"]
        assert isinstance(file, web.FileField)
        self.files[f"{form['subfolder']}/{file.filename}"] = Image.open(io.BytesIO(file.file.read()))
        return web.json_response({"name": file.filename, "subfolder": form["subfolder"], "type": form["type"]})

    async def object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: self.infos[name]} if name in self.infos else {})

    async def system_stats(self, _request: web.Request) -> web.Response:
        return web.json_response({"system": {"comfyui_version": "0.3.60"}, "devices": []})

    def restart(self) -> None:
        """Forget queue and history, as a restarted ComfyUI does."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._history.clear()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@asynccontextmanager
async def open_comfy_server() -> AsyncGenerator[ComfyServer]:
    """A ComfyUI on this machine until the block ends."""
    server, application = ComfyServer(), web.Application(client_max_size=2**26)
    server.free.set()
    application.add_routes(
        [
            web.get("/ws", server.socket),
            web.post("/prompt", server.prompt),
            web.get("/history/{run}", server.history),
            web.get("/queue", server.queue),
            web.post("/queue", server.unqueue),
            web.post("/interrupt", server.interrupt),
            web.get("/view", server.view),
            web.post("/upload/image", server.upload),
            web.get("/object_info/{name}", server.object_info),
            web.get("/system_stats", server.system_stats),
        ]
    )
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.restart()
        await runner.cleanup()
