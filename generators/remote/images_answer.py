"""Answers of OpenAI-compatible images servers: the picture, the error's sentence, the fields that are unknown."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from PIL import Image

from limner.generators.errors import BadRequest, BrokenImage, GenerationError, ModelNotFound
from limner.generators.image_files import open_image
from limner.generators.remote.http import table
from limner.generators.sentences import sentence

MOST_BYTES, MOST_PIXELS = 96 * 2**20, 4096 * 4096
"""Largest answer, and picture in it, that is read."""
MOST_TIMES = 4
"""How many times as wide or as high as it was asked for a picture may be, or as narrow or low."""
LONGEST_MESSAGE = 2**16
"""Characters of a server's error message that are searched."""

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
OTHER_SIZE = sentence("The images server painted another size than it was asked for; choose another size or model.")
TAKES_NO_PICTURE = sentence("The images server paints from words alone; ask without a picture.")


class AccountRefused(GenerationError):
    """The images server does not accept this bot's key, or its credit is used up; tell the bot's operator."""

    retryable: ClassVar[bool] = False


@dataclass(frozen=True)
class Answer:
    """A server's answer: status, JSON (None if it is not JSON), and requested pause in seconds."""

    status: int
    body: Any = None
    retry_after: float | None = None

    @property
    def codes(self) -> set[str]:
        """OpenAI's error code and type."""
        return {code for name in ("code", "type") if isinstance(code := self._error.get(name), str)}

    @property
    def is_disallowed(self) -> bool:
        """Whether the server's own filter refuses the request."""
        return bool(self.codes & DISALLOWED) or "safety system" in self.message

    @property
    def message(self) -> str:
        """The server's error message in lower case; it may quote the prompt, so it is never shown."""
        body = table(self.body)
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

    def error(self, *, with_picture: bool) -> GenerationError:
        """What its status and code mean for a request ``with_picture`` or from words alone."""
        if self.is_disallowed:
            return BadRequest(NOT_ALLOWED)
        if self.status in (401, 402, 403) or self.codes & NO_CREDIT:
            return AccountRefused()
        if self.status in (404, 405) and with_picture and "model_not_found" not in self.codes:
            return BadRequest(TAKES_NO_PICTURE)
        if self.status in (404, 405) or 300 <= self.status < 400:
            return ModelNotFound(NOT_FOUND)
        if 400 <= self.status < 500 and self.status not in PASSING:
            return BadRequest(NOT_PAINTABLE)
        return GenerationError(BUSY)

    @property
    def _error(self) -> dict[str, Any]:
        return table(table(self.body).get("error"))

    @property
    def _details(self) -> list[dict[str, Any]]:
        details = table(self.body).get("detail")
        return [table(detail) for detail in cast("list[Any]", details)] if isinstance(details, list) else []


def read_picture(body: Any, size: tuple[int, int]) -> Image.Image:
    """The picture in a server's answer; raises BrokenImage if there is none, or its size is far from the given one."""
    try:
        image = decoded(body["data"][0]["b64_json"])
    except (LookupError, TypeError, ValueError) as error:  # BadImage is a ValueError
        raise BrokenImage(NOT_A_PICTURE) from error
    check_size(image, size)
    return image


def decoded(text: str) -> Image.Image:
    """The picture in a base64 text; raises ValueError or TypeError."""
    data = base64.b64decode(text, validate=True)
    return open_image(data, formats=("PNG", "JPEG", "WEBP"), most_pixels=MOST_PIXELS)


def check_size(image: Image.Image, size: tuple[int, int]) -> None:
    """Raise BrokenImage for a picture that is far smaller or larger than it was asked for."""
    for painted, asked in zip(image.size, size, strict=True):
        if not asked <= painted * MOST_TIMES <= asked * MOST_TIMES**2:
            raise BrokenImage(OTHER_SIZE)


def seconds_of(retry_after: str) -> float | None:
    """The header's seconds; None for a date, which no known server sends, and for nothing."""
    return float(retry_after) if re.fullmatch(r"\d{1,9}(\.\d+)?", retry_after) else None
