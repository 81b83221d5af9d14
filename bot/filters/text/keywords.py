"""Finds keywords literally, by AutoMod's rules: one pass of an Aho-Corasick automaton for any number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import ahocorasick

from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import is_gap, is_letter, is_unspaced, line, places
from limner.bot.filters.work import Work

_AHOCORASICK: Any = ahocorasick  # it has no types
_TOGETHER = 60_000
"""Characters of the texts in one automaton: about 20 ms to build."""
_HIT = 30
"""Steps for a found keyword."""


class Keyword(NamedTuple):
    """A word or phrase in normal form, and whether the word may continue before and after it."""

    text: str
    is_open_left: bool
    is_open_right: bool


class Found(NamedTuple):
    """The number of a keyword, and its position."""

    number: int
    start: int
    end: int


def keyword(pattern: str) -> Keyword:
    """The keyword of a pattern with stars."""
    return Keyword(normalise(pattern.strip("*")).text, pattern.startswith("*"), pattern.endswith("*"))


class Keywords:
    """Many keywords, numbered in the given order."""

    def __init__(self, keywords: Sequence[Keyword]) -> None:
        self._keywords = keywords
        words: dict[str, list[int]] = {}
        signs: dict[str, list[int]] = {}
        for number, known in enumerate(keywords):
            if all(is_letter(character) or is_gap(character) for character in known.text):
                words.setdefault(_bordered(known), []).append(number)
            else:
                signs.setdefault(line(known.text, with_symbols=True).strip(), []).append(number)
        self._words = automaton({text: (len(text), numbers) for text, numbers in words.items()})
        self._signs = automaton({text: (len(text), numbers) for text, numbers in signs.items()})
        self._symbols = {character for text in signs for character in text if not is_letter(character)} - {" "}

    def find(self, text: str, spaced: str, work: Work) -> Iterator[Found]:
        """Every occurrence of a keyword in a normalised text, of which ``spaced`` is the `line`."""
        at: list[int] = []
        for last, (length, numbers) in self._words.iter(spaced) if self._words is not None else ():
            work.spend((_HIT + length) * len(numbers))
            at = at or places(text)
            yield from self._among_words(text, at, last - length + 1, last, numbers)
        if not self._symbols.isdisjoint(text):
            yield from self._among_signs(text, work)

    def whole(self, text: str, found: Found) -> Found:
        """The match extended to the whole word where the keyword has a star."""
        _, is_open_left, is_open_right = self._keywords[found.number]
        start, end = found.start, found.end
        while is_open_left and start > 0 and is_letter(text[start - 1]):
            start -= 1
        while is_open_right and end < len(text) and is_letter(text[end]):
            end += 1
        return Found(found.number, start, end)

    def _among_words(self, text: str, at: list[int], first: int, last: int, numbers: list[int]) -> Iterator[Found]:
        for number in numbers:
            known = self._keywords[number]
            start = at[first if known.is_open_left or _starts_anywhere(known) else first + 1]
            end = at[last if known.is_open_right or _ends_anywhere(known) else last - 1] + 1
            written = text[start:end]
            if written.isalnum() or all(is_letter(character) or is_gap(character) for character in written):
                yield Found(number, start, end)

    def _among_signs(self, text: str, work: Work) -> Iterator[Found]:
        spaced, at = line(text, with_symbols=True), places(text, with_symbols=True)
        hits: Iterator[tuple[int, tuple[int, list[int]]]] = self._signs.iter(spaced)
        for last, (length, numbers) in hits:
            work.spend(_HIT * len(numbers))
            first = last - length + 1
            is_inside = (
                is_letter(spaced[first]) and is_letter(spaced[first - 1]),
                (is_letter(spaced[last]) and is_letter(spaced[last + 1])),
            )
            for number in numbers:
                known = self._keywords[number]
                if (known.is_open_left or not is_inside[0]) and (known.is_open_right or not is_inside[1]):
                    yield Found(number, at[first], at[last] + 1)


def _bordered(known: Keyword) -> str:
    """The keyword in the form of a `line`, with its borders."""
    words = line(known.text).strip()
    left = "" if known.is_open_left or _starts_anywhere(known) else " "
    return left + words + ("" if known.is_open_right or _ends_anywhere(known) else " ")


def _starts_anywhere(known: Keyword) -> bool:
    return is_unspaced(known.text[0])


def _ends_anywhere(known: Keyword) -> bool:
    return is_unspaced(known.text[-1])


def automaton(values: Mapping[str, Any]) -> Any:
    """An Aho-Corasick automaton for the texts, each with its payload; None for no texts.

    Many texts are split among several automata, because building one blocks the event loop.
    """
    made, size = [_AHOCORASICK.Automaton()], 0
    for text, value in values.items():
        if size > _TOGETHER:
            made.append(_AHOCORASICK.Automaton())
            size = 0
        made[-1].add_word(text, value)
        size += len(text)
    if not values:
        return None
    for one in made:
        one.make_automaton()
    return made[0] if len(made) == 1 else _Several(made)


class _Several:
    """Several automata, searched one after another."""

    def __init__(self, automata: Sequence[Any]) -> None:
        self._automata = automata

    def iter(self, text: str) -> Iterator[tuple[int, Any]]:
        """End positions of found texts, with their payloads."""
        return chain.from_iterable(one.iter(text) for one in self._automata)
