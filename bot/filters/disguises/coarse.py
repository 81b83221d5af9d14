"""Coarse spellings: a disguised word and the word that it stands for have the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from limner.bot.filters.text.tables import LETTERS, base

Key = tuple[str, str]
"""A kind of disguise, and the key that a disguised word shares with its word."""
SPELLING = "spelling"
"""The kind of keys that are the coarse spelling itself."""
_READINGS = 48
"""Most readings of a word with ambiguous characters."""
_REPEATED = re.compile(r"(.)(?=\1)")


class _Keys(dict[int, str]):
    """The most likely letter of each character, with look-alike letters merged."""

    def __missing__(self, code: int) -> str:
        bare = base(chr(code))
        letter = LETTERS[bare][:1]
        self[code] = letter = "i" if letter == "l" else letter
        return letter


_KEYS = _Keys()


class _Choices(dict[str, tuple[tuple[int, str], ...]]):
    """The possible letters of an ambiguous character, each as an entry of a translation table."""

    def __missing__(self, character: str) -> tuple[tuple[int, str], ...]:
        letters = LETTERS[character]
        is_unsure = len(letters) > 1 and set(letters) != {"i", "l"}
        choices = tuple((ord(character), "i" if letter == "l" else letter) for letter in letters * is_unsure)
        self[character] = choices
        return choices


_CHOICES = _Choices()


def key(letters: str) -> str:
    """The coarse spelling without repeated letters."""
    return single(likeliest(letters))


def likeliest(letters: str) -> str:
    """The most likely letter for each character, with look-alikes merged."""
    return letters.translate(_KEYS)


def single(letters: str) -> str:
    """The same without repeated letters."""
    return _REPEATED.sub("", letters)


def readings(letters: str) -> Iterator[str]:
    """Each reading of the letters, the most likely first; repeated letters stay."""
    yield likeliest(letters)
    unsure = [choices for character in dict.fromkeys(letters) if (choices := _CHOICES[character])]
    for chosen in islice(product(*unsure), 1, _READINGS) if unsure else ():
        yield likeliest(letters.translate(dict(chosen)))
