"""A text as words with one space at each border, so that keywords are found by substring search."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f"  # Thai, Lao, Burmese, Khmer
    r"\u2e80-\u2fdf\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
"""Scripts without spaces between words (inside of a regular expression's [...])."""
KOREAN = r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
GAP = r"\s_\-\u00ad\u2010-\u2015\u2212\u301c\u30a0"
"""What may stand between the words of a phrase: white space, hyphens, dashes, underscores."""

_IS_GAP = re.compile(f"[{GAP}]")
_SPACES = re.compile("  +")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_EAST = re.compile(f"[{UNSPACED}{KOREAN}]")
_BETWEEN_SCRIPTS = re.compile(
    f"(?<=[{UNSPACED}])(?=[^ {UNSPACED}])|(?<=[^ {UNSPACED}])(?=[{UNSPACED}])"
    f"|(?<=[{KOREAN}])(?=[^ {KOREAN}{UNSPACED}])|(?<=[^ {KOREAN}{UNSPACED}])(?=[{KOREAN}])"
)


class _Borders(dict[int, str]):
    """Each character, or a space for a border."""

    def __init__(self, symbols_are_kept: bool) -> None:
        self._symbols_are_kept = symbols_are_kept

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_kept = unicodedata.category(character)[0] in "LMN"
        if self._symbols_are_kept:
            is_kept = not _IS_GAP.match(character)
        self[code] = kept = character if is_kept else " "
        return kept


_WORDS, _SIGNS = _Borders(False), _Borders(True)
_ASCII = {kept is _SIGNS: "".join(kept[code % 128] for code in range(256)).encode() for kept in (_WORDS, _SIGNS)}
"""The same for bytes, which are translated many times as fast."""


def line(text: str, *, with_symbols: bool = False) -> str:
    """The normalised text with one space for each run of borders, at both ends, and where the script changes.

    With ``with_symbols`` symbols stay: then only white space, hyphens, dashes and underscores are borders.
    """
    spaced = _spaced(text, with_symbols)
    if not text.isascii() and _EAST.search(spaced):
        spaced = _BETWEEN_SCRIPTS.sub(" ", spaced)
    return _SPACES.sub(" ", spaced) if "  " in spaced else spaced


def places(text: str, *, with_symbols: bool = False) -> list[int]:
    """The text index of each character of `line`; a space has that of the next word."""
    spaced, found = _spaced(text, with_symbols), [0, *range(len(text) + 1)]
    if not text.isascii() and _EAST.search(spaced):
        found = _cut(found, [(border.start() + 1, border.start()) for border in _BETWEEN_SCRIPTS.finditer(spaced)])
        spaced = _BETWEEN_SCRIPTS.sub(" ", spaced)
    return _cut(found, [(run.start() + 1, run.end()) for run in _SPACES.finditer(spaced)])


def _cut(places: list[int], gaps: Iterable[tuple[int, int]]) -> list[int]:
    """The places without those between both numbers of each gap; where a gap ends before it begins, some twice."""
    kept, here = list[int](), 0
    for end, start in gaps:
        kept += places[here:end]
        here = start
    return kept + places[here:]


def _spaced(text: str, with_symbols: bool) -> str:
    """The text between two spaces, with a space for each border."""
    if text.isascii():
        return f" {text.encode().translate(_ASCII[with_symbols]).decode()} "
    return f" {text.translate(_SIGNS if with_symbols else _WORDS)} "


def is_unspaced(character: str) -> bool:
    """Whether the character's script has no spaces between words."""
    return bool(_UNSPACED.match(character))


def is_gap(text: str) -> bool:
    """Whether the text is only separators between a phrase's words."""
    return all(map(_IS_GAP.match, text))


def is_letter(character: str) -> bool:
    """Whether the character makes words: a letter, a mark or a digit."""
    return unicodedata.category(character)[0] in "LMN"
