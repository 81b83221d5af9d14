"""Atoms of captions: whether each noun, colour, count and relation is in the picture, judged one by one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from limner.generators.base import ImageTextModel
from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.doodle.pictograms import COLOURS, article, plural
from limner.generators.training.evaluation.measures import Figure, share

KINDS = ("noun", "colour", "count", "relation")
OTHER_NOUNS = 9
"""Other nouns that a noun is compared with, as many as there are other colours."""
TOGETHER = 64
"""Pictures that are judged in one call."""
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
    """One statement of a caption; each of the ``rivals`` is the caption with another word in its place."""

    kind: str
    rivals: tuple[str, ...]


def atoms_of(picture: CaptionedPicture, nouns: Sequence[str]) -> list[Atom]:
    """The statements of a picture's caption that can be judged; ``nouns`` are all that its folder has.

    Atoms are those of GenEval 2 (https://arxiv.org/abs/2512.16853). Relations are looked for between two nouns only.
    """
    others = sorted({*nouns} - {*picture.nouns})
    found = [*_atoms("colour", picture.text, COLOURS, lambda word: [each for each in COLOURS if each != word])]
    found += _atoms("count", picture.text, COUNTS, lambda word: sorted({*COUNTS.values()} - {COUNTS[word]}))
    if len(picture.nouns) > 1:
        found += _atoms("relation", picture.text, OPPOSITES, lambda word: [OPPOSITES[word]])
    for noun in picture.nouns:
        rivals = Random(picture.text).sample(others, min(OTHER_NOUNS, len(others)))
        found += _atoms("noun", picture.text, [noun], lambda _, rivals=rivals: rivals)
        found += _atoms("noun", picture.text, {plural(noun)} - {noun}, lambda _, rivals=rivals: [*map(plural, rivals)])
    return [atom for atom in found if atom.rivals]


def judge_atoms(
    image_text_model: ImageTextModel,
    images: Sequence[Image.Image],
    pictures: Sequence[CaptionedPicture],
    nouns: Sequence[str],
) -> dict[str, Figure]:
    """Shares of right atoms by their kind, and of pictures all of whose atoms are right; of what there is.

    An atom is right if its picture (one of ``images``, painted from the caption of the same place in ``pictures``) is
    more similar to the caption than to each rival. A judge that guesses finds one in ten nouns and colours, one in
    three counts and every second relation.
    """
    asked = [(image, picture.text, atoms_of(picture, nouns)) for image, picture in zip(images, pictures, strict=True)]
    asked = [one for one in asked if one[-1]]
    hits: dict[str, list[bool]] = defaultdict(list)
    for at in range(0, len(asked), TOGETHER):
        for atoms, right in _judged(image_text_model, asked[at : at + TOGETHER]):
            for atom, is_right in zip(atoms, right, strict=True):
                hits[f"atom_{atom.kind}"].append(is_right)
            hits["all_atoms"].append(all(right))
    return {name: share(hits[name]) for name in (*(f"atom_{kind}" for kind in KINDS), "all_atoms") if hits[name]}


def _judged(
    image_text_model: ImageTextModel, asked: Sequence[tuple[Image.Image, str, Sequence[Atom]]]
) -> Iterator[tuple[Sequence[Atom], list[bool]]]:
    """The atoms of each picture, and whether each is right."""
    said = {
        text for _, caption, atoms in asked for text in (caption, *(each for atom in atoms for each in atom.rivals))
    }
    columns = {text: number for number, text in enumerate(sorted(said))}
    scores = image_text_model.score([image for image, *_ in asked], list(columns))
    for row, (_, caption, atoms) in zip(scores, asked, strict=True):
        own = row[columns[caption]]
        yield atoms, [all(own > row[columns[rival]] for rival in atom.rivals) for atom in atoms]


def _atoms(kind: str, caption: str, words: Collection[str], rivals: Callable[[str], Sequence[str]]) -> Iterator[Atom]:
    """An atom for each place where the caption has one of the words."""
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    for match in re.finditer(rf"\b(?:{longest_first})\b", caption, re.IGNORECASE) if longest_first else ():
        replaced = (caption[: match.start()] + rival + caption[match.end() :] for rival in rivals(match[0].lower()))
        yield Atom(kind, tuple(map(_with_fitting_articles, replaced)))


def _with_fitting_articles(text: str) -> str:
    """The text with "a" or "an" as the words after them need it."""
    return re.sub(r"\b([Aa])n? (?=(\w+))", lambda match: f"{match[1]}{article(match[2])[1:]} ", text)
