"""Normalises text before rules are compared with it."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from limner.bot.filters.text.tables import LETTERS, SPELLED_OUT

_CATEGORIES = list(map(unicodedata.category, map(chr, range(0x20000))))
"""Unicode categories up to U+20000 and from U+E0000; marks and invisible characters are only there."""
_BLANKS = {0x0345, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x2800, 0x3164, 0xFFA0}


def _as_class(codes: Iterable[int]) -> str:
    """Ascending code points as the inside of a regular expression's [...]."""
    runs: list[str] = []
    for _, group in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]):
        run = [code for _, code in group]
        runs.append(f"\\U{run[0]:08x}-\\U{run[-1]:08x}")
    return "".join(runs)


def _shows_nothing(code: int) -> bool:
    return code in _BLANKS or (_CATEGORIES[code] in ("Cc", "Cf", "Cs") and not chr(code).isspace())


INVISIBLE = _as_class(filter(_shows_nothing, range(len(_CATEGORIES)))) + r"\U000e0000-\U000e00ff"
"""Controls, zero-width and direction marks, letters that show nothing (inside of a regular expression's [...])."""
_MARKS = _as_class(code for code, category in enumerate(_CATEGORIES) if category[0] == "M")
_SELECTORS = r"\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e0fff"
_INVISIBLE = re.compile(f"[{INVISIBLE}{_SELECTORS}]+")

_MARKED = re.compile(f"([^{_MARKS}]?)([{_MARKS}]+)", re.DOTALL)
_TWICE = re.compile(f"([{_MARKS}])(?=\\1)")
_WITHOUT_VOWELS = frozenset({"HEBREW", "ARABIC", "SYRIAC", "SAMARITAN"})
"""Scripts with optional vowel points."""
_STRETCH = "\u0640"
"""The Arabic character that stretches words."""
_APOSTROPHES = str.maketrans("‘’ʼ", "'''")

_ENCLOSED = {code: letters for code, letters in SPELLED_OUT.items() if unicodedata.category(chr(code)) == "So"} | {
    code: LETTERS[chr(code)] for code in (*range(0x249C, 0x24B6), *range(0x1F110, 0x1F12B))
}
"""Enclosed letters that NFKC does not decompose, or decomposes with their brackets."""
_NEEDS_CARE = re.compile(
    f"[{_MARKS}{INVISIBLE}{_SELECTORS}\u0640\u1100-\u11ff\u3130-\u318f\ud7b0-\ud7fb\uff65-\uffdc‘’ʼ"
    + "".join(map(chr, _ENCLOSED))
    + "]"
)
"""Characters whose normal form is not exactly one character."""

# A piece is normalised alone: what could melt into the letter before it is in it, also the parts of Korean and kana.
_FOLLOWS = f"[{_MARKS}{INVISIBLE}{_SELECTORS}\u1160-\u11ff\u3130-\u318f\ud7b0-\ud7fb\uff9e-\uffdc]"
_SIMPLE = (
    "\\t-\\r\\x1c-\\x7eà-öø-ÿ\u0410-\u045f\u05d0-\u05ea\u0621-\u063a\u0641-\u064a\u0e01-\u0e30"
    "\u3041-\u3096\u30a1-\u30fc\u4e00-\u9fff\uac00-\ud7a3"
)
"""Characters with a normal form of exactly one character, in any context."""
_PIECE = re.compile(rf"[{_SIMPLE}]+(?!{_FOLLOWS})|.{_FOLLOWS}*", re.DOTALL)
_IS_SIMPLE = re.compile(f"[{_SIMPLE}]+").fullmatch


@dataclass(frozen=True)
class Normal:
    """A normalised text, with the origin of each part."""

    text: str
    #: For each piece: where it starts in ``text`` and where in the original; the last pair is both ends.
    _starts: list[int]
    _sources: list[int]

    @property
    def pieces(self) -> int:
        """The number of parts of the original that were normalised separately."""
        return len(self._starts) - 1

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that ``text[start:end]`` comes from."""
        return self._source(start, 0), self._source(end - 1, 1)

    def _source(self, position: int, side: int) -> int:
        piece = bisect_right(self._starts, position) - 1
        (start, next_start), (source, next_source) = self._starts[piece : piece + 2], self._sources[piece : piece + 2]
        if next_start - start == next_source - source:
            return source + position - start + side
        return (source, next_source)[side]


def normalise(text: str) -> Normal:
    """NFKC and full case folding, without invisible characters and decoration.

    An accent that makes another letter stays (año is not ano), and so do vowel signs of the letter's own script (पानी
    is not पान), each once. All other marks are removed: stacked, struck through, circled, of other scripts, vowel
    points.
    """
    if _IS_SIMPLE(text):
        return Normal(text.lower(), [0, len(text)], [0, len(text)])
    if not _NEEDS_CARE.search(text):
        folded = unicodedata.normalize("NFKC", text).casefold()
        if len(folded) == len(text):
            return Normal(folded, [0, len(folded)], [0, len(folded)])
    starts, sources, pieces = [0], [0], list[str]()
    for match in _PIECE.finditer(text):
        piece = match[0]
        pieces.append(piece.lower() if len(piece) > 1 and _IS_SIMPLE(piece) else _fold(piece))
        starts.append(starts[-1] + len(pieces[-1]))
        sources.append(match.end())
    return Normal("".join(pieces), starts, sources)


@lru_cache(maxsize=8192)
def _fold(piece: str) -> str:
    seen = _INVISIBLE.sub("", piece).translate(_APOSTROPHES).translate(_ENCLOSED).replace(_STRETCH, "")
    own = _with_marks(seen, lambda letter, mark: "COMBINING" in mark or _is_of_one_script(letter, mark))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", own).casefold())
    return _TWICE.sub("", _with_marks(folded, _spells))


def _with_marks(text: str, is_kept: Callable[[str, str], bool]) -> str:
    """The text with those marks that stay, by the Unicode names of letter and mark."""

    def kept(run: re.Match[str]) -> str:
        letter, marks = run[1], run[2]
        lost = [mark for mark in set(marks) if not is_kept(_name(letter), _name(mark))]
        return letter + marks.translate(dict.fromkeys(map(ord, lost)))

    return _MARKED.sub(kept, text)


@lru_cache(maxsize=1 << 12)
def _name(character: str) -> str:
    return unicodedata.name(character, "") if character else ""


def _spells(letter: str, mark: str) -> bool:
    """Whether an uncombined mark makes another word, as a vowel sign of its own script does."""
    return "COMBINING" not in mark and mark.partition(" ")[0] not in _WITHOUT_VOWELS and _is_of_one_script(letter, mark)


def _is_of_one_script(letter: str, mark: str) -> bool:
    return letter.partition(" ")[0] == mark.partition(" ")[0]
