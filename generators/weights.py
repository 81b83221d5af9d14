"""Weights in prompts, as other tools write them: (word:1.3), word::2, and BREAK between parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

_QUOTED = r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」'
# Brackets alone are prose, and so are a time, a ratio and a verse in them.
_WEIGHTED = re.compile(
    rf"""{_QUOTED}
    | \((?P<words>[^():]*[^\s\d():]):(?P<weight>\d{{0,2}}[.,]\d{{1,3}})\)         # (word:1.3)
    | (?<![\w'-])(?P<word>[\w'-]+)::(?P<times>\d{{1,3}}(?:[.,]\d{{1,3}})?)(?!\S)  # word::2
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"(?<!\S)BREAK(?!\S)")

Fragments = list[tuple[str, float]]
"""Pieces of a text with their weights, in order; 1 is no weight."""


def parts(text: str) -> list[Fragments]:
    """The parts between BREAKs, each as fragments; quoted text has no weights."""
    return [list(_fragments(part)) or [("", 1.0)] for part in _parts(text)]


def is_weighted(text: str) -> bool:
    """Whether a text has a weight or a BREAK."""
    found = parts(text)
    return len(found) > 1 or any(weight != 1 for fragments in found for _, weight in fragments)


def without_weights(text: str) -> str:
    """The words alone, as they are read."""
    return " ".join("".join(words for words, _ in _fragments(part)).strip() for part in _parts(text))


def _parts(text: str) -> list[str]:
    shouts = any(word.isupper() and len(word) > 1 and word != "BREAK" for word in re.findall(r"\w+", text))
    return [text] if shouts else _BREAK.split(text)


def _fragments(text: str) -> Iterator[tuple[str, float]]:
    here = 0
    for found in _WEIGHTED.finditer(text):
        words, weight = found["words"] or found["word"], found["weight"] or found["times"]
        if words:
            yield from [(text[here : found.start()], 1.0)] if found.start() > here else []
            yield words, float(weight.replace(",", "."))
            here = found.end()
    if here < len(text):
        yield text[here:], 1.0
