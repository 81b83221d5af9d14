"""Atoms of captions: their nouns, colours, counts and relations, each with the words that could stand in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from limner.generators.training.doodle.pictograms import COLOURS, article, plural

OTHER_NOUNS = 9
"""Other nouns that a noun is compared with, as many as there are other colours."""
COUNTS = {"two": "two", "a pair of": "two", "three": "three", "four": "four"}
OPPOSITES = {
    "left of": "right of",
    "right of": "left of",
    "above": "under",
    "over": "under",
    "on top of": "under",
    "under": "above",
    "below": "above",
}


@dataclass(frozen=True)
class Atom:
    """One statement of a caption; each of the ``rivals`` is the caption with another word in the word's place."""

    kind: str
    rivals: tuple[str, ...]
    word: str


def atoms_of(text: str, nouns: Sequence[str], others: Collection[str]) -> list[Atom]:
    """The statements of a caption about ``nouns`` that can be judged; ``others`` are nouns that it is not about.

    Atoms are those of GenEval 2 (https://arxiv.org/abs/2512.16853). Relations are looked for between two nouns only.
    """
    others = sorted(others)
    found = [*_atoms("colour", text, COLOURS, lambda word: [each for each in COLOURS if each != word])]
    found += _atoms("count", text, COUNTS, lambda word: sorted({*COUNTS.values()} - {COUNTS[word]}))
    if len(nouns) > 1:
        found += _atoms("relation", text, OPPOSITES, lambda word: [OPPOSITES[word]])
    for noun in nouns:
        rivals = Random(text).sample(others, min(OTHER_NOUNS, len(others)))
        found += _atoms("noun", text, [noun], lambda _, rivals=rivals: rivals)
        found += _atoms("noun", text, {plural(noun)} - {noun}, lambda _, rivals=rivals: [*map(plural, rivals)])
    return [atom for atom in found if atom.rivals]


def _atoms(kind: str, caption: str, words: Collection[str], rivals: Callable[[str], Sequence[str]]) -> Iterator[Atom]:
    """An atom for each place where the caption has one of the words."""
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    for match in re.finditer(rf"\b(?:{longest_first})\b", caption, re.IGNORECASE) if longest_first else ():
        replaced = (caption[: match.start()] + rival + caption[match.end() :] for rival in rivals(match[0].lower()))
        yield Atom(kind, tuple(map(_with_fitting_articles, replaced)), match[0].lower())


def _with_fitting_articles(text: str) -> str:
    """The text with "a" or "an" as the words after them need it."""
    return re.sub(r"\b([Aa])n? (?=(\w+))", lambda match: f"{match[1]}{article(match[2])[1:]} ", text)
