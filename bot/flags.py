"""Midjourney-style flags: `a red fox --ar 3:2 --seed 7` taken apart, and text cleaned of what nobody can see."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from bot.errors import BadPrompt
from bot.filters.normalise import UNSEEN

ASPECTS: dict[str, tuple[int, int]] = {"1:1": (1, 1), "3:2": (3, 2), "2:3": (2, 3), "16:9": (16, 9), "9:16": (9, 16)}
"""The aspect ratios that are offered as choices; ``--ar`` takes any."""

_WANTED = {
    "ar": "a width and a height, such as --ar 3:2",
    "seed": "a whole number of at most 20 digits, such as --seed 7",
    "no": "what must not be seen, such as --no text",
    "style": "a style's name, such as --style watercolor",
    "raw": "nothing after it",
    "count": "a whole number, such as --count 2",
    "steps": "a whole number, such as --steps 20",
    "crop": "a width and a height, such as --crop 3:2",
    "upscale": "a whole number, such as --upscale 2",
    "resize": "a width and a height in pixels, such as --resize 640x480",
    "colour": "a number, such as --colour 1.2",
    "sharpen": "a number, such as --sharpen 1.5",
}
_ALLOWED = ", ".join(f"--{name}" for name in _WANTED)

_JOINERS = "\u200c\u200d"
_UNSEEN = re.compile(f"(?![{_JOINERS}])[{UNSEEN}]+")
#: Persian, Indic scripts and emoji families need joiners; beside a space or a Latin letter they only hide something.
_IDLE_JOINERS = re.compile(rf"(?<![^\x00-\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f])")

_QUOTED = r"""(?<![^\s(\[,=])(?:"[^"]*"|“[^”]*”)"""
_KNOWN = rf"(?:{'|'.join(_WANTED)})(?=[\s=,;]|$)"
# Two hyphens begin a flag, known or not, unless a word ends there: "well--known" is prose, "fox--ar 3:2" is not. A
# phone turns the two hyphens into a dash, which people write as well: it begins a flag only before a known name.
_FLAG = rf"(?:(?<![\w\-])--(?=[^\s\-])|(?<!-)--(?={_KNOWN})|(?<!\w)[—–](?={_KNOWN}))(?P<name>\w*)"
_PARTS = re.compile(rf"{_QUOTED}|{_FLAG}", re.IGNORECASE)
_VALUE = re.compile(r'[\s=]*(?:"([^"]*)"|“([^”]*)”|([^\s,;]+))[,;]?')
_ASPECT = re.compile(r"(\d{1,9})[:：](\d{1,9})")
_SIZE = re.compile(r"(\d{1,9})[x×](\d{1,9})")
_NUMBER = re.compile(r"\d{1,3}(\.\d{1,6})?")


@dataclass(frozen=True)
class ParsedPrompt:
    """An idea in plain words, and what its flags ask for (None or empty: not said)."""

    idea: str
    aspect: tuple[int, int] | None = None
    seed: int | None = None
    negative: str = ""
    style: str = ""
    raw: bool = False
    count: int | None = None
    steps: int | None = None
    crop: tuple[int, int] | None = None
    upscale: int | None = None
    resize: tuple[int, int] | None = None
    colour: float | None = None
    sharpen: float | None = None


def parse_prompt(text: str, *, max_length: int) -> ParsedPrompt:
    """Take the flags out of a prompt, wherever in it they stand; what is quoted is never a flag.

    Values are understood here, their ranges are checked with the options of the command.

    Raises:
        BadPrompt: it is empty, longer than ``max_length`` characters, or has a flag that cannot be understood.
    """
    text = _readable(text, max_length)
    found = [match for match in _PARTS.finditer(text) if match["name"] is not None]
    if not found:
        return ParsedPrompt(text)
    words = [text[: found[0].start()]]
    said: dict[str, Any] = {}
    for flag, end in zip(found, [*(match.start() for match in found[1:]), len(text)], strict=True):
        name = _known(flag["name"])
        field = {"ar": "aspect", "no": "negative"}.get(name, name)
        if field in said:
            raise BadPrompt(f"The flag --{name} is given twice; give it once.")
        said[field], rest = _read(name, text[flag.end() : end])
        words.append(rest)
    idea = " ".join(" ".join(words).split()).rstrip(" ,;")
    if not idea:
        raise BadPrompt("The prompt has only flags; write what you want to see before them.")
    return ParsedPrompt(idea, **said)


def clean(text: str) -> str:
    """The text in NFC on one line, without control, zero-width and direction characters; the words stay."""
    shown = " ".join(_UNSEEN.sub("", text).split())
    return unicodedata.normalize("NFC", _IDLE_JOINERS.sub("", shown)).strip()


def _readable(text: str, max_length: int) -> str:
    cleaned = clean(text)
    if not cleaned:
        invisible = "has only invisible characters" if text.strip() else "is empty"
        raise BadPrompt(f"The prompt {invisible}; write what you want to see.")
    if len(cleaned) > max_length:
        raise BadPrompt(f"The prompt has {len(cleaned)} characters, and at most {max_length} are read; shorten it.")
    return cleaned


def _known(name: str) -> str:
    if name.lower() in _WANTED:
        return name.lower()
    shown = f"--{name[:20]}" if name.isascii() else "That"
    raise BadPrompt(f"{shown} is not a flag here; the flags are {_ALLOWED}.")


def _read(name: str, tail: str) -> tuple[Any, str]:
    """The value of a flag, and what of the text after it belongs to the idea."""
    if name == "raw":
        return True, tail
    if name == "no":
        value, rest = tail.lstrip(" =").rstrip(" ,;"), ""
    else:
        match = _VALUE.match(tail)
        value = next(filter(None, match.groups()), "") if match else ""
        rest = tail[match.end() :] if match else ""
    read = _as_value(name, value)
    if not read:
        raise BadPrompt(f"The flag --{name} needs {_WANTED[name]}.")
    return read[0], rest


def _as_value(name: str, value: str) -> tuple[Any] | None:
    if name in ("style", "no"):
        return (value,) if value else None
    if name in ("ar", "crop", "resize"):
        sides = (_SIZE if name == "resize" else _ASPECT).fullmatch(value)
        pair = (int(sides[1]), int(sides[2])) if sides else (0, 0)
        return (pair,) if min(pair) else None
    if name in ("colour", "sharpen"):
        return (float(value),) if _NUMBER.fullmatch(value) else None
    return (int(value),) if value.isdecimal() and len(value) <= 20 else None
