"""Words that are searched in disguise, and whether letters spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from limner.bot.filters.disguises import coarse, guesses
from limner.bot.filters.text.tables import LETTERS, base

SHORTEST = 3
"""Letters in the shortest word whose disguises are looked for."""
_MOST_MASKS = 256
"""Characters of which a word remembers for which of its letters they may stand."""
_REPEATED = re.compile(r"(.)(?=\1)")
_EAST = "\u2e80"
"""The first character of Chinese, Japanese and Korean."""
_USUAL = frozenset("áàâäãåæçéèêëíìîïñóòôöõøúùûüýÿßāăąćčďđēęěğīıķļłńňőœřśşšťţūůűźżžșțбвгдйё")
"""Letters with accents that some language writes every day."""


class _Masks(dict[str, int]):
    """For each character the letters of a word that it may stand for: one bit for each of their places."""

    def __init__(self, word: str) -> None:
        self._places: dict[str, int] = {}
        for place, letter in enumerate(word):
            for accepted in {letter, base(letter), LETTERS[letter][:1]}:
                self._places[accepted] = self._places.get(accepted, 0) | 1 << place

    def __missing__(self, character: str) -> int:
        if len(self) >= _MOST_MASKS:
            self.clear()
        found = 0
        for accepted in (character, base(character), *LETTERS[character]):
            found |= self._places.get(accepted, 0)
        self[character] = found
        return found


@dataclass(eq=False)
class Target:
    """A word to find, and the keywords that it is a part of.

    An open word may continue before and after it; a part is one word of a phrase.
    """

    word: str
    is_open_left: bool
    is_open_right: bool
    is_part: bool
    #: The number of each keyword, and the word's place in it.
    uses: list[tuple[int, int]]

    @property
    def number(self) -> int:
        """The number of the first keyword that has it."""
        return self.uses[0][0]

    @property
    def is_open(self) -> bool:
        """Whether it may be part of a longer word."""
        return self.is_open_left or self.is_open_right

    @cached_property
    def plain(self) -> str:
        """The word without accents."""
        return guesses.plain(self.word)

    @cached_property
    def keys(self) -> frozenset[coarse.Key]:
        """What a disguised spelling of it shares with it: the kind of disguise, and the key."""
        latin = guesses.romanised(self.word)
        sounds = {("sound", sound) for spelling in latin for sound in guesses.sounds(spelling)}
        return frozenset(
            sounds | {(coarse.SPELLING, coarse.key(self.word)), *(guesses.keys(self.plain) if self.plain else ())}
        )

    @cached_property
    def letters(self) -> frozenset[str]:
        """Its letters, with and without their accents."""
        return frozenset(self.word) | frozenset(map(base, self.word))

    def may_have(self, accents: frozenset[str]) -> bool:
        """Whether a misspelling may have letters with these accents: its own, or those of pinyin and romaji."""
        return accents <= self.letters or (self.word[0] >= _EAST and all(base(one) in "aeiou" for one in accents))

    @cached_property
    def masks(self) -> Mapping[str, int]:
        """At which letters of the word each character may stand, one bit for each."""
        return _Masks(self.word)


class Sighting(NamedTuple):
    """A word found in a chunk of text, its start and end, and its disguise."""

    target: Target
    start: int
    end: int
    steps: tuple[str, ...]


class Spelling(NamedTuple):
    """What a piece of text shares with the words that it may spell."""

    keys: frozenset[coarse.Key]

    def may_be(self, target: Target) -> bool:
        """Whether it may spell the word."""
        return not self.keys.isdisjoint(target.keys)


def merged(targets: Iterable[Target]) -> list[Target]:
    """The same words as one target for all keywords that have them."""
    known: dict[tuple[str, bool, bool, bool], Target] = {}
    for target in targets:
        key = (target.word, target.is_open_left, target.is_open_right, target.is_part)
        if known.setdefault(key, target) is not target:
            known[key].uses += target.uses
    return [*known.values()]


class Letters:
    """The letters of one reading of a chunk; what is asked of all of them for every word is known once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._masks: dict[str, dict[str, int]] = {}

    @cached_property
    def accents(self) -> list[str]:
        """Each letter with an accent, once for each time it occurs."""
        return [character for character in self.text if base(character) != character]

    @cached_property
    def is_mostly_signs(self) -> bool:
        """Whether most of them are digits or signs."""
        return sum(map(_is_digit_or_sign, self.text)) * 2 > len(self.text)

    def spell(self, target: Target, starts: Sequence[int] = (0,), end: int | None = None) -> Sighting | None:
        """Where they spell the target, if they plausibly do: from the first fitting of ``starts`` up to ``end``."""
        part, size = self.text[starts[0] : end], len(target.word)
        masks = [*map(target.masks.__getitem__, part)]
        first = 0 if len(starts) == 1 else _first_start(masks, len(starts), size, target.is_open_right)
        length = 0 if first is None else _spelled(masks, first, size, target.is_open_right)
        if first is None or not length:
            return None
        start = starts[first]
        steps = self._steps(target, self.text[start : starts[0] + length])
        return None if steps is None else Sighting(target, start, starts[0] + length, steps)

    def _steps(self, target: Target, letters: str) -> tuple[str, ...] | None:
        """How the letters differ from the word; None if they differ too much, or in a way typical of names."""
        word = target.word
        steps: list[str] = []
        shown = letters if len(letters) == len(word) else _REPEATED.sub("", letters)
        signs = sum(map(_is_digit_or_sign, shown))
        if not target.is_part and (
            (signs > 1 and len(word) == SHORTEST) or (signs * 2 > len(word) and self.is_mostly_signs)
        ):
            return None
        if signs:
            steps.append("digits or signs for letters")
        if accents := [*islice(self._accents_beside(word), 2)]:
            if len(accents) == 1 and accents[0] in _USUAL and len(word) < 5 and not target.is_part:
                return None
            steps.append("accents")
        known = target.letters
        others = set(letters) - known
        if any(
            base(character) not in known and (character.isalpha() or not character.isascii()) for character in others
        ):
            steps.append("look-alike letters")
        extra = len(letters) - len(word)
        if extra:
            if extra == 1 and not steps and not target.is_part and (target.is_open or len(word) < 4):
                return None
            steps.append("repeated letters")
        return tuple(steps) or ("look-alike letters",) * (letters != word)

    def _accents_beside(self, word: str) -> Iterator[str]:
        return (character for character in self.accents if character not in word)


def _first_start(masks: Sequence[int], count: int, size: int, may_go_on: bool) -> int | None:
    """The first of ``count`` places from which a word of so many letters is spelled: one pass, from the end."""
    first: int | None = None
    ends, states = 1 << (size - 1), 0  # a bit for each letter of the word that may stand at the place
    for place in reversed(range(len(masks))):
        may_end = ends if may_go_on or place == len(masks) - 1 else 0
        states = masks[place] & (states | states >> 1 | may_end)
        if states & 1 and place < count:
            first = place
    return first


def _spelled(masks: Sequence[int], start: int, size: int, may_go_on: bool) -> int:
    """Where a word of so many letters ends that begins at ``start``, each of its letters once or repeated; or 0."""
    states, done, end = 1, 1 << size, 0
    for place in range(start, len(masks)):
        states = (states & masks[place]) << 1 | (states & masks[place] << 1)
        if not states:
            break
        if states & done:
            end = place + 1
    return end if may_go_on or end == len(masks) else 0


def _is_digit_or_sign(character: str) -> bool:
    return character.isdecimal() or (character.isascii() and not character.isalpha())
