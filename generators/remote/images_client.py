"""Client of OpenAI-compatible images servers: one picture per call, one sentence for each error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from PIL import Image

from limner.generators.answers import parse_json, read_answer
from limner.generators.cards.model_card import ImagesServer, ModelCard
from limner.generators.errors import BrokenImage, GenerationError, ServersDown, error_site
from limner.generators.remote.http import UNREACHABLE, open_session, table
from limner.generators.remote.images_answer import (
    LATE,
    MOST_BYTES,
    NOT_A_PICTURE,
    Answer,
    decoded,
    read_picture,
    seconds_of,
)
from limner.generators.remote.images_request import OPTIONAL, ImagesRequest, RequestWriter
from limner.generators.remote.images_stream import events
from limner.generators.remote.progress import SampleProgress
from limner.generators.remote.servers import LONGEST_REST, PATIENCE, ModelServers, Server
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

PAUSES = (0.5, 2.0)
"""Seconds before the second and the third attempt, where the server names none."""
OVERLOADED = frozenset({429, 502, 503, 504})
"""Statuses of a server that gets no other request either during the pause."""
FIELDS = {
    "steps": frozenset({"num_inference_steps", "step"}),
    "guidance": frozenset({"guidance_scale"}),
    "seed": frozenset({"seed"}),
    "strength": frozenset({"strength"}),
}
"""The fields of each option, of which a server takes one."""


@dataclass
class ImagesClient:
    """Requests one model's pictures from its servers, and remembers which fields they do not support."""

    server: ImagesServer
    writer: RequestWriter
    refused: set[str] = field(default_factory=set[str])
    """Names of fields, and sizes as ``size 640x512``, that are left out from now on."""
    _session: aiohttp.ClientSession | None = None
    _decoding: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._servers = ModelServers(self.server.addresses)

    @classmethod
    def of(cls, card: ModelCard, server: ImagesServer) -> ImagesClient:
        """A client for a model's servers."""
        return cls(server, RequestWriter(card.source, card.loras, card.streams))

    @property
    def unused(self) -> tuple[str, ...]:
        """The options that the servers were seen to take no field of."""
        return tuple(option for option, names in FIELDS.items() if names <= self.refused)

    async def paint(self, request: GenerationRequest, seed: int, progress: SampleProgress) -> Image.Image:
        """Paint one picture.

        Raises:
            NoNegative: the server supports no negative prompt.
            NoLora: the server supports no LoRA.
            BadRequest: the server cannot or will not paint it.
            ModelNotFound: there is no such model or address.
            AccountRefused: the server does not accept the key.
            BrokenImage: its answer is not a picture.
            ServersDown: no server can be reached.
            GenerationError: it does not answer in time; ask again later.
        """
        pauses, patience = iter(PAUSES), PATIENCE
        failed: GenerationError | None = None
        while True:
            asked = await asyncio.to_thread(self.writer.write, request, seed, frozenset(self.refused))
            try:
                server = await self._servers.free(patience)
            except ServersDown as error:
                if failed:  # it may be what brought the server down
                    raise failed from error
                raise
            answer = await self._ask(server, asked, progress)
            if answer is None:
                continue
            if answer.status == 200:
                async with self._decoding:  # one at a time: decoding a large one takes hundreds of MiB
                    return await asyncio.to_thread(read_picture, answer.body, request.size)
            if self._learn(answer, asked, request.prompt):
                continue
            failed = answer.error(with_picture=request.is_from_picture)
            pause = next(pauses, None)
            if not failed.retryable or pause is None:
                raise failed
            patience = PATIENCE + await self._pause(server, answer, pause)

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _ask(self, server: Server, asked: ImagesRequest, progress: SampleProgress) -> Answer | None:
        """A server's answer; None if it cannot be reached, so that another server, or later this one, is asked."""
        try:
            with server.busy():
                async with asyncio.timeout(self.server.timeout):
                    answer = await self._post(server, asked, progress)
        except aiohttp.ClientError as error:
            log.warning("images_server_silent model=%s reason=%s", self.writer.model, error_site(error))
            server.fell_silent()
            # What breaks a connection may be the request itself, so that counts as an answer.
            return None if isinstance(error, UNREACHABLE) else Answer(503)
        except TimeoutError as error:
            server.fell_silent()
            raise GenerationError(LATE) from error
        except ValueError as error:
            raise BrokenImage(NOT_A_PICTURE) from error
        server.answered()
        return answer

    async def _post(self, server: Server, asked: ImagesRequest, progress: SampleProgress) -> Answer:
        address = server.address.rstrip("/").removesuffix("/images/generations") + asked.path
        async with self._connected().post(address, **asked.to_post(), allow_redirects=False) as response:
            if response.content_type == "text/event-stream":
                return await _streamed(response, progress)
            data = await read_answer(response, MOST_BYTES)
            body = await asyncio.to_thread(_parsed, data)
            return Answer(response.status, body, seconds_of(response.headers.get("Retry-After", "")))

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self.server)
        return self._session

    def _learn(self, answer: Answer, asked: ImagesRequest, prompt: str) -> bool:
        """Whether the request would be accepted without some fields, which are then remembered."""
        if answer.status not in (400, 422) or answer.is_disallowed:
            return False
        names = [name for name in OPTIONAL if name in asked.names and answer.refuses(name, prompt)]
        for name in names:
            log.warning("images_field_left_out model=%s field=%s", self.writer.model, name)
            self.refused.add(f"size {asked.fields['size']}" if name == "size" else name)
        return bool(names)

    async def _pause(self, server: Server, answer: Answer, seconds: float) -> float:
        """Wait before the next attempt, or let a server rest that has too much to do; returns the seconds."""
        seconds = min(answer.retry_after or seconds, LONGEST_REST)
        if answer.status in OVERLOADED:
            server.rest(seconds)
        else:
            await asyncio.sleep(seconds)
        return seconds


async def _streamed(response: aiohttp.ClientResponse, progress: SampleProgress) -> Answer:
    """The last event of a stream as an answer; earlier ones are rough pictures."""
    async for event in events(response, MOST_BYTES):
        kind, picture = str(event.get("type", "")), event.get("b64_json")
        if "error" in event:
            return Answer(_status_of(event["error"]), event)
        if isinstance(event.get("data"), list):
            return Answer(200, event)
        if kind.endswith(".completed"):
            return Answer(200, {"data": [{"b64_json": picture}]})
        if kind.endswith(".partial_image"):
            with contextlib.suppress(TypeError, ValueError):  # a rough picture that is broken is not shown
                progress.preview(await asyncio.to_thread(decoded, picture or ""))
    raise aiohttp.ClientPayloadError("the stream has ended without a picture")


def _status_of(error: Any) -> int:
    """The status of a streamed error: vLLM-Omni's ``code`` is one, OpenAI's is a word."""
    code = table(error).get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return 400 if isinstance(code, str) else 500


def _parsed(data: bytes) -> Any:
    try:
        return parse_json(data)
    except ValueError:
        return None
