"""A table of many pictures' perceptual hashes, in which the nearest to a picture's is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limner.bot.storage.tables.picture_hashes import PDQ_DIGITS, PHASH_DIGITS, PictureHashes

PDQ_ALIKE = 31
"""Bits of 256 in which the same picture differs at most, as the authors of PDQ and the makers of lists advise."""
BITS_A_DIGIT, DIGITS_A_WORD = 4, 16


@dataclass(frozen=True)
class Nearest:
    """The picture of a table that differs least from a given one, and in how many of how many bits."""

    number: int
    bits: int
    of: int
    #: Whether these are so few that both count as the same picture.
    is_alike: bool

    @property
    def rank(self) -> tuple[bool, float]:
        """Lower for what is nearer, also of hashes of two kinds."""
        return not self.is_alike, self.bits / self.of


class HashTable:
    """The hashes of pictures with numbers; a picture has one of each kind, or of one kind only."""

    def __init__(self, pictures: Iterable[tuple[int, PictureHashes]]) -> None:
        listed = list(pictures)
        self._phash = _Column([(number, one.phash) for number, one in listed if one.phash], PHASH_DIGITS)
        self._pdq = _Column([(number, one.pdq) for number, one in listed if one.pdq], PDQ_DIGITS)

    def nearest(self, hashes: PictureHashes, phash_alike: int) -> Nearest | None:
        """The nearest picture by either kind; None if none can be compared.

        Up to ``phash_alike`` of 64 bits of the pHash, or 31 of 256 of PDQ, count as the same picture.
        """
        found = [self._phash.nearest(hashes.phash, phash_alike), self._pdq.nearest(hashes.pdq, PDQ_ALIKE)]
        return min(filter(None, found), key=lambda one: one.rank, default=None)


class _Column:
    """All hashes of one kind."""

    def __init__(self, hashes: Sequence[tuple[int, str]], digits: int) -> None:
        self._bits = digits * BITS_A_DIGIT
        self._numbers = [number for number, _hash in hashes]
        self._words = _words("".join(one for _number, one in hashes)).reshape(-1, digits // DIGITS_A_WORD)

    def nearest(self, one: str | None, alike: int) -> Nearest | None:
        if not one or not self._numbers:
            return None
        differing = np.bitwise_count(self._words ^ _words(one)).sum(axis=1)
        place = int(differing.argmin())
        bits = int(differing[place])
        return Nearest(self._numbers[place], bits, self._bits, is_alike=bits <= alike)


def _words(digits: str) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex(digits), np.uint64)
