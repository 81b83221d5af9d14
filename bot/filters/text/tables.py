"""Tables made by `make_tables`: look-alikes, sounds, and real words."""

from __future__ import annotations

import re
import unicodedata
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

DATA = Path(__file__).parent / "data"


def _groups(name: str) -> Iterator[tuple[str, str]]:
    """Each character of a table and one of its meanings."""
    for line in (DATA / name).read_text("utf-8").splitlines():
        meaning, characters = line.split("\t")
        for character in characters:
            yield character, meaning


_IN_USE = re.compile(r"[a-z0-9'\u00df-\u024f\u0430-\u0491]*")
"""What the words of those languages are made of."""
_REST = 20
"""Bits of a fingerprint beside the first ones, under which it is looked up."""
_LETTER = frozenset({"Ll", "Lo", "Lt", "Lu"})


class _Letters(dict[str, str]):
    """For a folded character the plain letters that it may stand for, the likeliest first; "" for none."""

    def __missing__(self, character: str) -> str:
        bare = base(character)
        self[character] = letters = self[bare] if bare != character else bare * (unicodedata.category(bare) in _LETTER)
        return letters


def base(character: str) -> str:
    """The letter without its accents."""
    return unicodedata.normalize("NFD", character)[0]


def _letters() -> _Letters:
    letters = _Letters({character: character for character in "abcdefghijklmnopqrstuvwxyz"} | {"i": "il", "l": "li"})
    for name in ("lookalikes.tsv", "lookalikes_by_hand.tsv"):
        for character, meaning in _groups(name):
            if len(meaning) == 1 and meaning.isascii() and meaning not in letters.get(character, ""):
                letters[character] = letters.get(character, "") + meaning
    strokes = {"i": "l", "l": "i"}
    for character, meanings in letters.items():
        missing = [strokes[one] for one in meanings if one in strokes and strokes[one] not in meanings]
        letters[character] += "".join(missing)
    return letters


LETTERS = _letters()
SPELLED_OUT = {ord(character): meaning for character, meaning in _groups("lookalikes.tsv") if len(meaning) > 1}
"""Characters that show several letters at once."""


@cache
def pinyin() -> dict[str, str]:
    """The commonest reading of each Chinese character, without tones."""
    return dict(_groups("pinyin.tsv"))


def _one_spelling() -> dict[int, str]:
    """East Asian characters that are other spellings of one: old, simplified, radical, hiragana, look-alike."""
    same = {ord(one): other for one, other in _groups("han.tsv")}
    kana = {code: chr(code + 0x60) for code in (*range(0x3041, 0x3097), 0x309D, 0x309E)}
    small = dict(zip(map(ord, "ァィゥェォッャュョヮヵヶ"), "アイウエオツヤユヨワカケ", strict=True))
    same |= {code: small.get(ord(big), big) for code, big in kana.items()} | small
    drawn = {one: other for one, other in _groups("lookalikes.tsv") if not other.isascii()}
    return {ord(one): drawn.get(other, other) for one, other in drawn.items()} | {
        code: drawn.get(other, other) for code, other in same.items()
    }


ONE_SPELLING = _one_spelling()


def fingerprint(word: str) -> int:
    """32 bits; about one in 5,000 invented words shares its fingerprint with a real one."""
    return zlib.crc32(word.encode("utf-8", "replace"))


@lru_cache(maxsize=1 << 16)
def is_word(word: str) -> bool:
    """Whether a lower-case word is in use in one of the nine languages of `make_tables`."""
    words, starts = _words()
    wanted = fingerprint(word)
    first = wanted >> _REST
    place = bisect_left(words, wanted, starts[first], starts[first + 1])
    is_known = place < len(words) and words[place] == wanted
    # One word in 5,000 would be taken for one, and look-alikes can be chosen for that.
    return is_known and bool(_IN_USE.fullmatch(word))


@cache
def _words() -> tuple[array[int], list[int]]:
    """The fingerprints in order, and where those begin that share their first bits."""
    words = array("I")
    words.frombytes((DATA / "words.bin").read_bytes())
    return words, [bisect_left(words, first << _REST) for first in range((1 << 32 - _REST) + 1)]
