"""Decodes letters written as codes or emoji names, and removes markup inside words."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from limner.bot.filters.text.normalise import normalise

Piece = tuple[int, int, str]
"""A part of the text, and its replacement."""

_CODES = re.compile(r"(?:%[0-9a-f]{2})+|&(?:#x[0-9a-f]{1,6}|#[0-9]{1,7}|[a-z]{2,31});|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}")
_NAMED = re.compile(r"(?:<a?)?:(?:regional_indicator_|letter_)?([a-z]):(?:[0-9]{15,20}>)?")
"""A letter in Discord's notation for an emoji: `:regional_indicator_a:`, `:b:`, `<:c:123>`."""
_NAMES = re.compile(rf"(?:{_NAMED.pattern}\s*){{2,}}")
_TAG = re.compile(r"(?<=\w)(?:(?><!--.{0,60}?-->)|</?[a-z][^<>]{0,60}>)++(?=\w)")
_LINK = re.compile(r"\[([^\[\]]{1,60})\]\([^()\s]{1,200}\)")
_BRACKETED = re.compile(
    r"(?<![(\[{])(?:(?<=[^\W\d_])[(\[{]++|[(\[{]++(?=[^\W\d_]+(?::[0-9.]+)?[)\]}]+[^\W\d_]))([^\W\d_]+)(?::[0-9.]+)?[)\]}]+"
)
"""Weighted letters of a word, as in prompts: `(mar:1.2)zipan`."""


def decoded(text: str) -> Iterator[Piece]:
    """Replacements of character codes (HTML, URLs, source code) and of emoji names by letters."""
    for match in _CODES.finditer(text) if "&" in text or "%" in text or "\\" in text else ():
        yield (*match.span(), normalise(_character(match[0])).text)
    for match in _NAMES.finditer(text) if ":" in text else ():
        yield (*match.span(), "".join(_NAMED.findall(match[0])) + " " * match[0][-1].isspace())


def unmarked(text: str) -> Iterator[Piece]:
    """Replacements of tags, links and brackets inside words by their text."""
    if "<" in text:
        yield from ((*match.span(), "") for match in _TAG.finditer(text))
    if "](" in text:
        yield from ((*match.span(), match[1]) for match in _LINK.finditer(text))
    elif "(" in text or "[" in text or "{" in text:
        yield from ((*match.span(), match[1]) for match in _BRACKETED.finditer(text))


def _character(code: str) -> str:
    if code.startswith("%"):
        return unquote(code, errors="replace")
    return html.unescape(code) if code.startswith("&") else chr(int(code[2:], 16))
