"""One coarse spelling for all that looks alike: what a disguised word and the word that it stands for share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from limner.bot.filters.tables import LETTERS, base

Key = tuple[str, str]
"""A kind of disguise, and what a disguised word shares with the word that it stands for."""
SPELLING = "spelling"
"""The kind of the keys that are the coarse spelling itself."""
_READINGS = 48
"""How many ways to read a word with characters that may be several letters are tried."""
_DOUBLE = re.compile(r"(.)\1+")


class _Keys(dict[int, str]):
    """The likeliest letter of each character, and one letter for those that are drawn alike."""

    def __missing__(self, code: int) -> str:
        bare = base(chr(code))
        letter = LETTERS[bare][:1]
        self[code] = letter = "i" if letter == "l" else letter
        return letter


_KEYS = _Keys()


class _Choices(dict[str, tuple[tuple[int, str], ...]]):
    """The letters that a character may be, if they are several: each as an entry of a table for translation."""

    def __missing__(self, character: str) -> tuple[tuple[int, str], ...]:
        letters = LETTERS[character]
        is_unsure = len(letters) > 1 and set(letters) != {"i", "l"}
        choices = tuple((ord(character), "i" if letter == "l" else letter) for letter in letters * is_unsure)
        self[character] = choices
        return choices


_CHOICES = _Choices()


def key(letters: str) -> str:
    """The letters in their coarse spelling, none of them twice in a row."""
    return single(likeliest(letters))


def likeliest(letters: str) -> str:
    """The likeliest letter for each character, and one for those that are drawn alike."""
    return letters.translate(_KEYS)


def single(letters: str) -> str:
    """The same with each letter once where it is repeated."""
    return _DOUBLE.sub(r"\1", letters)


def readings(letters: str) -> Iterator[str]:
    """Each way to read the letters, the likeliest first; those that are repeated stay so."""
    yield likeliest(letters)
    unsure = [choices for character in dict.fromkeys(letters) if (choices := _CHOICES[character])]
    for chosen in islice(product(*unsure), 1, _READINGS) if unsure else ():
        yield likeliest(letters.translate(dict(chosen)))
