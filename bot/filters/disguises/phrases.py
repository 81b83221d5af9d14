"""Phrases of which a word was found in disguise, by the words around it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from limner.bot.filters.disguises.coarse import Key
from limner.bot.filters.disguises.targets import Spelling, Target
from limner.bot.filters.work import Work

Use = tuple[int, int]
"""The number of a phrase, and the place of a word in it."""
_FEW = 20
"""Most phrases of a word that are compared directly, without an index by another word."""
_STEPS = 10
"""Steps for each phrase that is compared, and for each key under which some are looked up."""


class Phrases:
    """Phrases by their words."""

    def __init__(self, phrases: Mapping[int, Sequence[str]], targets: Iterable[Target]) -> None:
        self._phrases = phrases
        parts = [target for target in targets if target.is_part]
        self._targets = {use: target for target in parts for use in target.uses}
        self._beside = {target: self._by_rarest(target) for target in parts if len(target.uses) > _FEW}

    def _by_rarest(self, target: Target) -> dict[int, dict[Key, list[Use]]]:
        """The phrases with the word, by the keys of the rarest other word of each, and by how far that is from it."""
        found: defaultdict[int, dict[Key, list[Use]]] = defaultdict(dict)
        for number, position in target.uses:
            others = [place for place in range(len(self._phrases[number])) if place != position]
            rarest = min(others, key=lambda place: len(self._targets[number, place].uses))
            for key in self._targets[number, rarest].keys:
                found[rarest - position].setdefault(key, []).append((number, position))
        return found

    def words(self, number: int) -> Sequence[str]:
        """The words of one of them."""
        return self._phrases[number]

    def target(self, use: Use) -> Target:
        """A word of one of them."""
        return self._targets[use]

    def around(
        self, target: Target, index: int, size: int, spelling: Callable[[int], Spelling], work: Work
    ) -> Iterator[Use]:
        """The phrases that fit if piece ``index`` of a text of ``size`` pieces is the word."""
        for number, position in self._with(target, index, size, spelling, work):
            work.spend_on(number, _STEPS)
            words, first = self._phrases[number], index - position
            if 0 <= first <= size - len(words) and all(
                spelling(first + place).may_be(self._targets[number, place])
                for place in range(len(words))
                if place != position
            ):
                yield number, position

    def _with(
        self, target: Target, index: int, size: int, spelling: Callable[[int], Spelling], work: Work
    ) -> Iterable[Use]:
        beside = self._beside.get(target)
        if beside is None:
            return target.uses
        found: dict[Use, None] = {}
        for offset, by_key in beside.items():
            if 0 <= index + offset < size:
                for key in spelling(index + offset).keys:
                    work.spend(_STEPS)
                    found |= dict.fromkeys(by_key.get(key, ()))
        return found
