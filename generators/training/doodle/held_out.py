"""Combinations held out of all training scenes, for testing a model."""

# pyright: basic

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from limner.generators.training.doodle.pictograms import COLOURS, Pictograms

ONE_IN = 10
"""A tenth of all combinations is held out."""


class Combination(NamedTuple):
    """A noun, and what it is shown with.

    ``kind`` names the type of ``other``: "colour" (the noun's), "paper" (the background's colour), "place", "number" or
    "noun".
    """

    noun: str
    kind: str
    other: str

    @classmethod
    def of(cls, noun: str, kind: str, other: str) -> Combination:
        """The combination of two nouns, in canonical order."""
        first, last = sorted((noun, other)) if kind == "noun" else (noun, other)
        return cls(first, kind, last)


class HeldOut:
    """The set of held-out combinations, chosen by their CRC-32.

    A colour that a noun has of its own, or that one of its names says ("brown bear"), is never held out, because the
    noun cannot be shown without it.
    """

    def __init__(self, pictograms: Pictograms) -> None:
        self._pictograms = pictograms
        self._own = set(_own_colours(pictograms))

    def __contains__(self, combination: Combination) -> bool:
        noun, kind, other = combination
        if kind == "colour" and (noun, other) in self._own:
            return False
        key = f"{noun}|on {other}" if kind == "paper" else f"{noun}|{other}"
        return zlib.crc32(key.encode()) % ONE_IN == 0

    def colours(self) -> Iterator[Combination]:
        """All held-out combinations of a noun and a colour that it can be painted in."""
        for noun in self._pictograms.nouns:
            for colour in COLOURS:
                combination = Combination(noun, "colour", colour)
                if self._pictograms[noun].can_be(colour) and combination in self:
                    yield combination


def _own_colours(pictograms: Pictograms) -> Iterator[tuple[str, str]]:
    nouns = pictograms.nouns.values()
    named = {name: noun.name for noun in nouns for name in (noun.name, *noun.synonyms)}
    for name, noun in named.items():
        if colour := pictograms[noun].colour:
            yield noun, colour
        for colour in COLOURS:
            if colour in name.split():
                yield noun, colour
            if f"{colour} {name}" in named:  # a white bear is a polar bear too
                yield noun, colour
