"""Where a picture is painted again for a word that is missing in it: a side, a thing, or around the other things."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops

from limner.generators.image_canvas import covered, grown, mask_of_area
from limner.generators.references import Area
from limner.generators.vision.atoms import OPPOSITES, Atom

LEAST, MOST = 0.01, 0.9
"""Shares of a picture between which a part is painted again; less shows nothing, and more is another picture."""
SIDES = {
    "left of": (Area.LEFT, Area.RIGHT),
    "right of": (Area.RIGHT, Area.LEFT),
    "above": (Area.TOP, Area.BOTTOM),
    "under": (Area.BOTTOM, Area.TOP),
}
"""Where a relation has what is named before it, and after it."""
BETWEEN = 2
"""Most words between a colour and the thing that it belongs to."""

Find = Callable[[Image.Image, str], Image.Image]
"""Finds the part of a picture that words name, as `TextSegmentation.find`."""


@dataclass(frozen=True)
class MissingPlace:
    """The part of a picture for a missing word: an area, or where the things are, or all around them."""

    word: str
    area: Area | None = None
    things: tuple[str, ...] = ()
    is_around: bool = False


def place_of_missing(idea: str, atoms: Sequence[Atom], missing: Collection[str]) -> MissingPlace | None:
    """The part of a picture in which to paint the first missing word that has one.

    A colour belongs where the thing is that it is said of, a thing on its side of another one, or, if the idea names
    none, around the others. What is missing as a whole, a count or a relation has no place.
    """
    nouns = [atom.word for atom in atoms if atom.kind == "noun"]
    for atom in atoms:
        if atom.word in missing and atom.kind == "noun":
            if place := _of_noun(idea, atom.word, nouns, missing):
                return place
        elif atom.word in missing and atom.kind == "colour":
            thing = next((noun for noun in nouns if noun not in missing and _belongs(idea, atom.word, noun)), None)
            if thing:
                return MissingPlace(atom.word, things=(thing,))
    return None


def mask_of(place: MissingPlace, image: Image.Image, find: Find) -> Image.Image | None:
    """A mask of the picture's size, white in the part; None if the things are not found, or nearly all is the part."""
    if place.area:
        return mask_of_area(place.area, image.size)
    mask = Image.new("L", image.size)
    for thing in place.things:
        found = find(image, thing)
        if covered(found) < LEAST:
            return None
        mask = ImageChops.lighter(mask, grown(found))
    mask = ImageChops.invert(mask) if place.is_around else mask
    return mask if LEAST <= covered(mask) <= MOST else None


def _of_noun(idea: str, noun: str, nouns: Sequence[str], missing: Collection[str]) -> MissingPlace | None:
    others = tuple(other for other in nouns if other != noun and other not in missing)
    if not others:
        return None
    relations = "|".join(map(re.escape, sorted(OPPOSITES, key=len, reverse=True)))
    for match in re.finditer(rf"\b(?:{relations})\b", idea, re.IGNORECASE):
        said = match[0].lower()
        sides = SIDES.get(said) or SIDES[OPPOSITES[OPPOSITES[said]]]
        if _has(idea[: match.start()], noun) and any(_has(idea[match.end() :], other) for other in others):
            return MissingPlace(noun, area=sides[0])
        if _has(idea[match.end() :], noun) and any(_has(idea[: match.start()], other) for other in others):
            return MissingPlace(noun, area=sides[1])
    return MissingPlace(noun, things=others, is_around=True)


def _belongs(idea: str, colour: str, noun: str) -> bool:
    between = rf"(?: \w+){{0,{BETWEEN}}}? "
    return re.search(rf"\b{re.escape(colour)}{between}{re.escape(noun)}\b", idea, re.IGNORECASE) is not None


def _has(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None
