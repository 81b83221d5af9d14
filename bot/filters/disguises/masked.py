"""Finds words with masked letters by their visible ones, for any number of words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from limner.bot.filters.disguises.guesses import LONGEST
from limner.bot.filters.disguises.targets import Target
from limner.bot.filters.work import Work

_LETTER = 5
"""Steps for a visible letter."""
_WORDS = 500
"""Words per additional step."""


class MaskedWords:
    """Words of at most `LONGEST` letters; each is one bit in a number for every letter that stands at a place."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = [target for target in targets if len(target.plain) <= LONGEST]
        self._with: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._whole: defaultdict[int, int] = defaultdict(int)
        open_ended: defaultdict[int, int] = defaultdict(int)
        for number, target in enumerate(self._targets):
            bit, size = 1 << number, len(target.plain)
            for place, letter in enumerate(target.plain):
                self._with[place, letter] |= bit
            (open_ended if target.is_open else self._whole)[size] |= bit
        self._ended = [0] * (LONGEST + 1)
        for place in range(1, LONGEST + 1):
            self._ended[place] = self._ended[place - 1] | open_ended[place]

    def find(self, written: str, work: Work) -> Iterator[Target]:
        """The words that ``written`` may show, where symbols mask letters; open words may continue."""
        work.spend(len(written) * (_LETTER + len(self._targets) / _WORDS))
        left = self._ended[min(len(written), LONGEST)] | self._whole.get(len(written), 0)
        for place, letter in enumerate(written[:LONGEST]):
            if letter.isalpha():
                left &= self._with.get((place, letter), 0) | self._ended[place]
        while left:
            number = left.bit_length() - 1
            left ^= 1 << number
            yield self._targets[number]
