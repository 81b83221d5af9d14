"""Client of an OpenAI-compatible images server: one picture per call, one sentence for each error."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import aiohttp
from PIL import Image

from limner.generators.answers import parse_json, read_answer
from limner.generators.cards.model_card import ImagesServer
from limner.generators.errors import BadRequest, BrokenImage, GenerationError, ModelNotFound, NoNegative, error_site
from limner.generators.image_files import open_image
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

log = logging.getLogger(__name__)

PAUSES = (0.5, 2.0)
"""Seconds before the second and the third attempt, where the server names none."""
LONGEST_PAUSE = 60.0
"""Longest pause in seconds, even if the server asks for more."""
MOST_BYTES, MOST_PIXELS = 96 * 2**20, 4096 * 4096
"""Largest answer, and picture in it, that is read."""
LONGEST_MESSAGE = 2**16
"""Characters of a server's error message that are searched."""

FIELDS = {
    "steps": frozenset({"num_inference_steps", "step"}),
    "guidance": frozenset({"guidance_scale"}),
    "seed": frozenset({"seed"}),
}
"""The fields of each option, of which a server takes one."""
OPTIONAL = (
    "seed",
    "negative_prompt",
    "num_inference_steps",
    "step",
    "guidance_scale",
    "response_format",
    "size",
)
UNKNOWN_FIELD = re.compile(r"\b(unknown|unrecogni[sz]ed|unsupported|unexpected|not (permitted|supported|allowed))\b")
DISALLOWED = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "invalid_api_key"})
PASSING = frozenset({408, 409, 425, 429})

NOT_ALLOWED = sentence("The images server does not allow this picture; change your words and ask again.")
NOT_FOUND = sentence("The images server does not know this model; the operator finds what to do with `limner doctor`.")
NOT_PAINTABLE = sentence("The images server cannot paint this request; change its size, steps or model.")
BUSY = sentence("The images server does not answer or is too busy; ask again in a moment.")
LATE = sentence("The images server did not paint this in time; ask again, or for a smaller picture.")
NOT_A_PICTURE = sentence("The images server sent something that is not a picture; ask again in a moment.")


class AccountRefused(GenerationError):
    """The images server does not accept this bot's key, or its credit is used up; tell the bot's operator."""

    retryable: ClassVar[bool] = False


@dataclass(frozen=True)
class Answer:
    """A server's answer: status, JSON (None if it is not JSON), and requested pause."""

    status: int
    body: Any = None
    retry_after: float | None = None

    @property
    def codes(self) -> set[str]:
        """OpenAI's error code and type."""
        return {code for name in ("code", "type") if isinstance(code := self._error.get(name), str)}

    @property
    def message(self) -> str:
        """The server's error message in lower case; it may quote the prompt, so it is never shown."""
        body = _table(self.body)
        said = (self._error.get("message"), body.get("error"), body.get("detail"), body.get("message"))
        return next((text[:LONGEST_MESSAGE].lower() for text in said if isinstance(text, str)), "")

    def refuses(self, name: str, prompt: str) -> bool:
        """Whether the error says that a field of this name is unsupported, in OpenAI's, FastAPI's or free form."""
        details = [detail for detail in self._details if name in detail.get("loc", ())]
        if details:
            return name == "size" or any(detail.get("type") == "extra_forbidden" for detail in details)
        if self._error.get("param"):
            return self._error["param"] == name and (name == "size" or "unknown_parameter" in self.codes)
        message = self.message.replace(prompt.lower(), "")
        return bool(re.search(rf"\b{name}\b", message)) and (name == "size" or bool(UNKNOWN_FIELD.search(message)))

    @property
    def _error(self) -> dict[str, Any]:
        return _table(_table(self.body).get("error"))

    @property
    def _details(self) -> list[dict[str, Any]]:
        details = _table(self.body).get("detail")
        return [_table(detail) for detail in cast("list[Any]", details)] if isinstance(details, list) else []


@dataclass
class ImagesClient:
    """Requests one model's pictures from one server, and remembers which fields it does not support.

    ``seed``, ``negative_prompt``, ``num_inference_steps`` and ``guidance_scale`` are extensions that vLLM-Omni
    (https://docs.vllm.ai/projects/vllm-omni/en/stable/serving/image_generation_api/) and SGLang-Diffusion
    (https://docs.sglang.io/diffusion/api/openai_api.html) share; LocalAI calls the steps ``step``
    (https://localai.io/features/image-generation/). OpenAI's own server knows none of them, its gpt-image models know
    no ``response_format`` either, and each model takes only some sizes
    (https://platform.openai.com/docs/api-reference/images/create).
    """

    server: ImagesServer
    model: str
    refused: set[str] = field(default_factory=set[str])
    """Names of fields, and sizes as ``size 640x512``, that are left out from now on."""
    _session: aiohttp.ClientSession | None = None
    _decoding: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def unused(self) -> tuple[str, ...]:
        """The options that the server was seen to take no field of."""
        return tuple(option for option, names in FIELDS.items() if names <= self.refused)

    async def paint(self, request: GenerationRequest, seed: int) -> Image.Image:
        """Paint one picture.

        Raises:
            NoNegative: the server supports no negative prompt.
            BadRequest: the server cannot or will not paint it.
            ModelNotFound: there is no such model or address.
            AccountRefused: the server does not accept the key.
            BrokenImage: its answer is not a picture.
            GenerationError: it does not answer; ask again later.
        """
        try:
            async with asyncio.timeout(self.server.timeout):
                answer = await self._ask(request, seed)
                async with self._decoding:  # one at a time: decoding a large one takes hundreds of MiB
                    return await asyncio.to_thread(read_picture, answer.body)
        except TimeoutError as error:
            raise GenerationError(LATE) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _ask(self, request: GenerationRequest, seed: int) -> Answer:
        pauses = iter(PAUSES)
        while True:
            body = self._body(request, seed)
            answer = await self._post(body)
            if answer.status == 200:
                return answer
            if self._learn(answer, body):
                continue
            error = _error_of(answer)
            pause = next(pauses, None)
            if not error.retryable or pause is None:
                raise error
            await asyncio.sleep(min(answer.retry_after or pause, LONGEST_PAUSE))

    def _body(self, request: GenerationRequest, seed: int) -> dict[str, Any]:
        size = f"{request.width}x{request.height}"
        optional: dict[str, Any] = {
            "size": size,
            "response_format": "b64_json",
            "seed": seed,
            "num_inference_steps": request.num_inference_steps,
            "step": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
        }
        if request.negative_prompt:
            if "negative_prompt" in self.refused:
                raise NoNegative
            optional["negative_prompt"] = request.negative_prompt
        if f"size {size}" in self.refused:
            del optional["size"]
        taken = {name: value for name, value in optional.items() if name not in self.refused}
        return {"model": self.model, "prompt": request.prompt, "n": 1} | taken

    def _learn(self, answer: Answer, sent: dict[str, Any]) -> bool:
        """Whether the request would be accepted without some fields, which are then remembered."""
        if answer.status not in (400, 422) or answer.codes & DISALLOWED:
            return False
        names = [name for name in OPTIONAL if name in sent and answer.refuses(name, sent["prompt"])]
        for name in names:
            log.warning("images_field_left_out model=%s field=%s", self.model, name)
            self.refused.add(f"size {sent['size']}" if name == "size" else name)
        return bool(names)

    async def _post(self, body: dict[str, Any]) -> Answer:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self.server.api_key}"} if self.server.api_key else {}
            limits = aiohttp.ClientTimeout(total=None, sock_connect=min(10.0, self.server.timeout))
            # The generator limits the number of requests at once.
            self._session = aiohttp.ClientSession(
                headers=headers, timeout=limits, connector=aiohttp.TCPConnector(limit=0)
            )
        address = self.server.url.rstrip("/").removesuffix("/images/generations") + "/images/generations"
        try:
            async with self._session.post(address, json=body, allow_redirects=False) as response:
                data = await read_answer(response, MOST_BYTES)
                body = await asyncio.to_thread(_parsed, data)
                return Answer(response.status, body, _seconds(response.headers.get("Retry-After", "")))
        except ValueError as error:
            raise BrokenImage(NOT_A_PICTURE) from error
        except aiohttp.ClientError as error:
            log.warning("images_server_silent model=%s reason=%s", self.model, error_site(error))
            return Answer(503)


def read_picture(body: Any) -> Image.Image:
    """The picture in a server's answer; raises BrokenImage if there is none, or it is too large."""
    try:
        data = base64.b64decode(body["data"][0]["b64_json"], validate=True)
        return open_image(data, formats=("PNG", "JPEG", "WEBP"), most_pixels=MOST_PIXELS)
    except (LookupError, TypeError, ValueError) as error:  # BadImage is a ValueError
        raise BrokenImage(NOT_A_PICTURE) from error


def _error_of(answer: Answer) -> GenerationError:
    if answer.codes & DISALLOWED or "safety system" in answer.message:
        return BadRequest(NOT_ALLOWED)
    if answer.status in (401, 402, 403) or answer.codes & NO_CREDIT:
        return AccountRefused()
    if answer.status in (404, 405) or 300 <= answer.status < 400:
        return ModelNotFound(NOT_FOUND)
    if 400 <= answer.status < 500 and answer.status not in PASSING:
        return BadRequest(NOT_PAINTABLE)
    return GenerationError(BUSY)


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _parsed(data: bytes) -> Any:
    try:
        return parse_json(data)
    except ValueError:
        return None


def _seconds(retry_after: str) -> float | None:
    """The header's seconds; None for a date, which no known server sends, and for nothing."""
    return float(retry_after) if re.fullmatch(r"\d{1,9}(\.\d+)?", retry_after) else None
