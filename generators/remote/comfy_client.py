"""Client of ComfyUI: a workflow is queued with what a request says, watched, and its picture fetched.

The routes are those of https://docs.comfy.org/development/comfyui-server/comms_routes, the messages those of
https://docs.comfy.org/development/comfyui-server/comms_messages; both were read in November 2026.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
from PIL import Image

from limner.generators.answers import parse_json, read_answer
from limner.generators.cards.model_card import ImagesServer
from limner.generators.cards.workflow import SAMPLERS, Workflow
from limner.generators.errors import (
    BadRequest,
    BrokenImage,
    GenerationError,
    ModelFailed,
    ModelNotFound,
    OutOfMemory,
    ServersDown,
    error_site,
)
from limner.generators.image_canvas import canvas, canvas_mask
from limner.generators.image_files import open_image
from limner.generators.remote.http import UNREACHABLE, open_session, opened, png, table
from limner.generators.remote.images_answer import MOST_BYTES, MOST_PIXELS, check_size
from limner.generators.remote.progress import SampleProgress
from limner.generators.remote.servers import ModelServers, Server
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

log = logging.getLogger(__name__)

MOST_JSON, MOST_MESSAGE = 16 * 2**20, 16 * 2**20
"""Largest JSON answer, and message of the websocket, in bytes."""
POLL_SECONDS = 2.0
"""Pause between two looks into the history, for what the websocket does not tell."""
MOST_LOSSES = 1
"""How often a workflow that was lost with its ComfyUI is queued again at once: it may be what brought it down."""
PROXY_ERRORS = (502, 503, 504)
"""What a proxy answers for a ComfyUI that is down."""
STOP_SECONDS = 5.0
"""Longest time to tell ComfyUI that a request is not wanted any more."""
PREVIEW = b"\0\0\0\1"
"""First bytes of a message with a rough picture, which begins after four more."""
FOLDER = "limner"
"""ComfyUI's folder for pictures to start from, in its folder for inputs."""

REFUSED = sentence("ComfyUI does not accept the workflow of this model; the operator finds why with `limner doctor`.")
NO_COMFY = sentence("There is no ComfyUI at the address of this model; the operator finds more with `limner doctor`.")
LATE = sentence("ComfyUI did not paint this in time; ask again, or for a smaller picture.")
BUSY = sentence("ComfyUI did not finish this picture; ask again in a moment.")
NO_PICTURE = sentence("ComfyUI sent something that is not a picture; ask again in a moment.")


class _Lost(Exception):
    """ComfyUI has gone or was restarted, and with it the queued workflow."""


@dataclass
class ComfyClient:
    """Paints by a workflow on one of several ComfyUI servers, one sample a run.

    ComfyUI keeps queue and history in memory: what a restarted one does not know any more is queued again.
    """

    server: ImagesServer
    workflow: Workflow
    model: str
    unused: tuple[str, ...] = ()
    _session: aiohttp.ClientSession | None = None
    _decoding: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._servers = ModelServers(self.server.addresses)

    async def paint(self, request: GenerationRequest, seed: int, progress: SampleProgress) -> Image.Image:
        """Paint one picture. A cancelled call takes the workflow out of the queue, or interrupts it.

        Raises:
            BadRequest: ComfyUI does not accept the workflow.
            OutOfMemory, ModelFailed: it failed.
            BrokenImage: its result is not a picture.
            ServersDown: no ComfyUI can be reached.
            GenerationError: it is late, or cannot be understood; ask again later.
        """
        files = await asyncio.to_thread(_files, request)
        losses = 0
        while True:
            try:
                server = await self._servers.free()
            except ServersDown as error:
                if losses:
                    raise GenerationError(BUSY) from error
                raise
            try:
                with server.busy():
                    async with asyncio.timeout(self.server.timeout):
                        data = await self._run(server, request, seed, files, progress)
                server.answered()
            except (_Lost, aiohttp.WSServerHandshakeError, *UNREACHABLE) as error:
                if isinstance(error, aiohttp.WSServerHandshakeError) and error.status not in PROXY_ERRORS:
                    raise ModelNotFound(NO_COMFY) from error
                log.warning("comfy_silent model=%s reason=%s", self.model, error_site(error))
                server.fell_silent()
                losses += isinstance(error, _Lost)
                if losses > MOST_LOSSES:
                    raise GenerationError(BUSY) from error
                continue
            except aiohttp.ClientError as error:
                log.warning("comfy_silent model=%s reason=%s", self.model, error_site(error))
                server.fell_silent()
                raise GenerationError(BUSY) from error
            except TimeoutError as error:
                server.fell_silent()
                raise GenerationError(LATE) from error
            except ValueError as error:
                raise GenerationError(BUSY) from error
            async with self._decoding:  # one at a time: decoding a large one takes hundreds of MiB
                return await asyncio.to_thread(_picture, data, request.size)

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _run(
        self, server: Server, request: GenerationRequest, seed: int, files: dict[str, bytes], progress: SampleProgress
    ) -> bytes:
        """Queue the workflow, wait for its end, and return the file of its picture."""
        values = _values(request, seed) | {name: await self._upload(server, data) for name, data in files.items()}
        client = uuid.uuid4().hex
        address = f"{_base(server)}/ws?clientId={client}"
        async with self._connected().ws_connect(address, max_msg_size=MOST_MESSAGE) as socket:
            run = await self._queue(server, {"prompt": self.workflow.filled(values), "client_id": client})
            try:
                image = await self._ended(server, socket, run, progress)
            except UNREACHABLE as error:
                raise _Lost from error
            except BaseException:
                await asyncio.shield(self._stop(server, run))
                raise
        named = {name: str(image.get(name, "")) for name in ("filename", "subfolder", "type")}
        async with self._connected().get(f"{_base(server)}/view", params=named) as response:
            response.raise_for_status()
            return await read_answer(response, MOST_BYTES)

    async def _upload(self, server: Server, data: bytes) -> str:
        """Give ComfyUI a picture file; returns its name there. Equal files have one name, so nothing piles up."""
        form = aiohttp.FormData({"overwrite": "true", "subfolder": FOLDER, "type": "input"})
        form.add_field("image", data, filename=f"{hashlib.sha256(data).hexdigest()}.png")
        async with self._connected().post(f"{_base(server)}/upload/image", data=form) as response:
            response.raise_for_status()
            said = table(parse_json(await read_answer(response, MOST_JSON)))
        return "/".join(filter(None, (str(said.get("subfolder", "")), str(said.get("name", "")))))

    async def _queue(self, server: Server, body: dict[str, Any]) -> str:
        """Queue a workflow; returns the id of its run."""
        async with self._connected().post(f"{_base(server)}/prompt", json=body) as response:
            said = table(parse_json(await read_answer(response, MOST_JSON)))
            if response.status == 400:
                log.warning("comfy_refused model=%s nodes=%s", self.model, ",".join(table(said.get("node_errors"))))
                raise BadRequest(REFUSED)
            if response.status in (404, 405):
                raise ModelNotFound(NO_COMFY)
            response.raise_for_status()
        if not isinstance(run := said.get("prompt_id"), str):
            raise ValueError("the answer to /prompt has no prompt_id")
        return run

    async def _ended(
        self, server: Server, socket: aiohttp.ClientWebSocketResponse, run: str, progress: SampleProgress
    ) -> dict[str, Any]:
        """Wait for the end of a run, telling its progress; returns the picture that it saved."""
        while True:
            is_over = await _next_news(socket, run, progress)
            entry = await self._history(server, run) if is_over else {}
            if entry:
                return _saved(entry, self.workflow.output)
            if is_over and run not in await self._waiting(server) and not await self._history(server, run):
                raise _Lost

    async def _history(self, server: Server, run: str) -> dict[str, Any]:
        """What ComfyUI remembers of a run that is over; empty while it is not."""
        return table((await self._get(server, f"/history/{run}")).get(run))

    async def _waiting(self, server: Server) -> set[str]:
        """The ids of the runs that are queued or in progress."""
        queue = await self._get(server, "/queue")
        runs = [*_list(queue.get("queue_running")), *_list(queue.get("queue_pending"))]
        return {str(run[1]) for run in map(_list, runs) if len(run) > 1}

    async def _get(self, server: Server, path: str) -> dict[str, Any]:
        async with self._connected().get(_base(server) + path) as response:
            response.raise_for_status()
            return table(parse_json(await read_answer(response, MOST_JSON)))

    async def _stop(self, server: Server, run: str) -> None:
        """Take a run out of the queue, and interrupt it if it is in progress; others' runs go on."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with asyncio.timeout(STOP_SECONDS):
                async with self._connected().post(f"{_base(server)}/queue", json={"delete": [run]}):
                    pass
                if run in await self._waiting(server):  # releases before 2025-08 interrupt whatever is in progress
                    async with self._connected().post(f"{_base(server)}/interrupt", json={"prompt_id": run}):
                        pass

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self.server)
        return self._session


async def _next_news(socket: aiohttp.ClientWebSocketResponse, run: str, progress: SampleProgress) -> bool:
    """Read one message; whether the run may be over, which only the history knows."""
    if socket.closed:
        await asyncio.sleep(POLL_SECONDS)
        return True
    try:
        async with asyncio.timeout(POLL_SECONDS):
            message = await socket.receive()
    except TimeoutError:
        return True
    if message.type == aiohttp.WSMsgType.BINARY:
        await _preview(message.data, progress)
        return False
    if message.type != aiohttp.WSMsgType.TEXT:
        return True
    said = table(parse_json(message.data))
    data, kind = table(said.get("data")), said.get("type")
    if data.get("prompt_id", run) != run:
        return False
    if kind == "progress" and isinstance(most := data.get("max"), int) and isinstance(value := data.get("value"), int):
        progress.part(value / max(1, most))
    is_last = kind == "executing" and data.get("node") is None
    return is_last or kind in ("execution_success", "execution_error", "execution_interrupted")


async def _preview(message: bytes, progress: SampleProgress) -> None:
    if message[:4] == PREVIEW:
        with contextlib.suppress(ValueError):  # a rough picture that is broken is not shown
            progress.preview(await asyncio.to_thread(_opened, message[8:]))


def _saved(entry: dict[str, Any], output: str) -> dict[str, Any]:
    """The picture that the run's output node saved; raises GenerationError for one that failed."""
    status = table(entry.get("status"))
    if status.get("status_str") == "error":
        messages = [_list(message) for message in _list(status.get("messages"))]
        errors = [table(message[1]) for message in messages if len(message) > 1 and message[0] == "execution_error"]
        kinds = [str(error.get("exception_type", "")) for error in errors]
        raise OutOfMemory if any("OutOfMemory" in kind for kind in kinds) else ModelFailed
    images = _list(table(table(entry.get("outputs")).get(output)).get("images"))
    if not images:
        raise BrokenImage(NO_PICTURE)
    return table(images[0])


def _values(request: GenerationRequest, seed: int) -> dict[str, str | float]:
    """What a request says for each placeholder but those for files."""
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": seed,
        "steps": request.num_inference_steps,
        "guidance": request.guidance_scale,
        "width": request.width,
        "height": request.height,
        "sampler": SAMPLERS[request.scheduler or next(iter(SAMPLERS))],
        "strength": 1.0 if request.strength is None else request.strength,
    }


def _files(request: GenerationRequest) -> dict[str, bytes]:
    """The picture to start from and the mask (white is painted) at the request's size; without one, all is painted."""
    if not request.init_image:
        return {}
    is_masked = bool(request.mask or request.box)
    given = opened(request.mask) if request.mask else None
    white = canvas_mask(given, request) if is_masked else Image.new("L", request.size, 255)
    return {"image": png(canvas(opened(request.init_image), request)), "mask": png(white)}


def _opened(data: bytes) -> Image.Image:
    return open_image(data, formats=("PNG", "JPEG", "WEBP"), most_pixels=MOST_PIXELS)


def _picture(data: bytes, size: tuple[int, int]) -> Image.Image:
    try:
        image = _opened(data)
    except ValueError as error:
        raise BrokenImage(NO_PICTURE) from error
    check_size(image, size)
    return image


def _base(server: Server) -> str:
    return server.address.rstrip("/")


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
