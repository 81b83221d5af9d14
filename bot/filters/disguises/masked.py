"""Finds words with masked letters by their visible ones, for any number of words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from limner.bot.filters.disguises.guesses import LONGEST, plain
from limner.bot.filters.disguises.targets import SHORTEST, Target
from limner.bot.filters.text.tables import is_word
from limner.bot.filters.work import Work

_LETTER = 5
"""Steps for a visible letter."""
_WORDS = 500
"""Words per additional step."""
_MASK = re.compile(r"[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2})(?:[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2}))*[^\W\d_]+")
_PARTS = re.compile(r"[^\W_]+")
_SURELY_JOINED = 4
"""Letters of real words that are joined and never masked; shorter ones are often parts of a masked word."""
_JOINTS = frozenset("-._+&~=\u2010\u2011\u2012\u2013\u2014\u00b7")


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


def masked_letters(core: str) -> tuple[str, bool] | None:
    """A piece that may be a masked word, in plain letters, and whether it may be short words that symbols join.

    None if it is not of that form, or surely words that are joined.
    """
    match = _MASK.fullmatch(core.replace("...", "…"))
    if match is None or _is_joined(match[0], _SURELY_JOINED):
        return None
    return plain(match[0]), _is_joined(match[0], SHORTEST)


def fits(written: str, meant: str) -> bool:
    """Whether every visible letter is the word's, and at least half of them are visible."""
    if len(written) < len(meant):
        return False
    hidden = sum(not character.isalpha() for character in written[: len(meant)])
    return (
        0 < hidden <= len(meant) // 2
        and all(one == other or not one.isalpha() for one, other in zip(written, meant, strict=False))
        and written[len(meant) - 1].isalpha()
    )


def _is_joined(core: str, shortest: int) -> bool:
    """Whether joining symbols stand between real words of so many letters."""
    signs = {character for character in core if not character.isalpha()}
    return signs <= _JOINTS and all(len(part) >= shortest and is_word(part) for part in _PARTS.findall(core))
