"""Reads the generation parameters in picture files: Limner's own, AUTOMATIC1111's web UI's and InvokeAI's.

The text formats: https://github.com/AUTOMATIC1111/stable-diffusion-webui/blob/master/modules/infotext_utils.py and
https://github.com/invoke-ai/InvokeAI/blob/main/invokeai/app/invocations/metadata.py. Files come from anybody.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from PIL import Image, UnidentifiedImageError

from limner.bot.errors import BadPicture
from limner.bot.translation import N_, _

MOST_TEXT = 200_000
"""Most characters of parameters that are read."""
MOST_PAIRS, LONGEST_KEY = 200, 60
LEAST_PAIRS = 3
"""The last line is one of parameters if it has so many, as in the web UI."""
NO_PARAMETERS = N_(
    "That file does not say how it was made; choose one by Limner, InvokeAI or the web UI of AUTOMATIC1111."
)
UNREADABLE = N_("What that file says of how it was made cannot be read; give the words and options yourself.")
NO_PICTURE = N_("That file is not a picture that can be read; choose a PNG, JPEG or WebP file.")

_NEGATIVE = "Negative prompt:"
_KEY = re.compile(r"[\w ./+-]+")
_COMMENT, _FOLDER = 0x9286, 0x8769
"""Exif's UserComment, and the folder in which it is."""
_INVOKE = {
    "seed": "Seed",
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "scheduler": "Sampler",
    "sampler_name": "Sampler",
    "sampler": "Sampler",
    "strength": "Denoising strength",
}
"""InvokeAI's names of what has a key in the web UI's parameters."""


@dataclass(frozen=True)
class PictureParameters:
    """How a picture was made, as its file says: the words, and the other parameters by the web UI's keys."""

    prompt: str
    negative: str = ""
    pairs: Mapping[str, str] = field(default_factory=dict[str, str])


def read_parameters(file: bytes) -> PictureParameters:
    """The parameters in a picture file, whose pixels are not decoded; raises BadPicture with one sentence."""
    texts = _texts(file)
    if len(max(texts.values(), key=len, default="")) > MOST_TEXT:
        raise BadPicture(_(UNREADABLE))
    try:
        if text := texts.get("parameters"):
            return parse(text)
        if text := texts.get("invokeai_metadata"):
            return _of_invoke(_table(json.loads(text)))
        if text := texts.get("sd-metadata"):
            return _of_old_invoke(_table(json.loads(text)))
    except (ValueError, RecursionError) as error:
        raise BadPicture(_(UNREADABLE)) from error
    raise BadPicture(_(NO_PARAMETERS))


def parse(text: str) -> PictureParameters:
    """Parameters as the web UI writes them: the prompt, perhaps a negative one, and a last line of ``Key: value``."""
    *lines, last = text.strip().split("\n")
    pairs = dict(_pairs(last))
    if len(pairs) < LEAST_PAIRS:
        lines, pairs = [*lines, last], {}
    start = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(_NEGATIVE)
    return PictureParameters("\n".join(lines[:start]).strip(), negative.strip(), pairs)


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """The pairs of a line, in time that grows with its length; a value in quotes is written as in JSON."""
    position, decoder = 0, json.JSONDecoder()
    for _number in range(MOST_PAIRS):
        colon = line.find(":", position, position + LONGEST_KEY)
        if colon < 0 or not _KEY.fullmatch(key := line[position:colon].strip()):
            return
        start = colon + 1
        while line[start : start + 1] == " ":
            start += 1
        if line[start : start + 1] == '"':
            value, end = decoder.raw_decode(line, start)
        else:
            end = line.find(",", start) if "," in line[start:] else len(line)
            value = line[start:end].strip()
        yield key, str(value)
        position = line.find(",", end) + 1
        if not position:
            return


def _texts(file: bytes) -> dict[str, str]:
    """The texts in a picture file by their keywords, and an Exif comment as the parameters."""
    try:
        with Image.open(io.BytesIO(file), formats=("PNG", "JPEG", "WEBP")) as image:
            found = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
            comment = image.getexif().get_ifd(_FOLDER).get(_COMMENT, b"")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise BadPicture(_(NO_PICTURE)) from error
    if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        found.setdefault("parameters", comment[8:].decode("utf-16-be", errors="replace"))
    return found


def _of_invoke(said: Mapping[str, Any]) -> PictureParameters:
    """InvokeAI's since version 3."""
    pairs = _pairs_of_invoke(said)
    model = said.get("model")
    pairs["Model"] = _text(_table(model).get("name") or _table(model).get("model_name") or model)
    loras = (_table(one) for one in _list(said.get("loras")))
    names = [(_table(one.get("lora") or one.get("model")), one.get("weight", 1)) for one in loras]
    pairs["LoRA"] = ", ".join(f"{_text(one.get('name') or one.get('model_name'))}:{weight}" for one, weight in names)
    return _kept(said.get("positive_prompt"), said.get("negative_prompt"), pairs)


def _of_old_invoke(said: Mapping[str, Any]) -> PictureParameters:
    """InvokeAI's before that: a list of prompts with weights, in which [brackets] are negative."""
    image = _table(said.get("image"))
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        prompt = " ".join(_text(_table(one).get("prompt")) for one in _list(prompt))
    words = _text(prompt)
    negative = " ".join(re.findall(r"\[([^\[\]]*)\]", words))
    pairs = _pairs_of_invoke(image) | {"Model": _text(said.get("model_weights"))}
    return _kept(re.sub(r"\[[^\[\]]*\]", "", words), negative, pairs)


def _pairs_of_invoke(said: Mapping[str, Any]) -> dict[str, str]:
    pairs = {key: _text(said.get(name)) for name, key in _INVOKE.items() if said.get(name) is not None}
    if isinstance(said.get("width"), int) and isinstance(said.get("height"), int):
        pairs["Size"] = f"{said['width']}x{said['height']}"
    return pairs


def _kept(prompt: Any, negative: Any, pairs: Mapping[str, str]) -> PictureParameters:
    return PictureParameters(_text(prompt).strip(), _text(negative).strip(), {k: v for k, v in pairs.items() if v})


def _text(value: Any) -> str:
    """A text or a number as text; empty for anything else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value)[:MOST_PAIRS] if isinstance(value, list) else []
