"""Whether each noun, colour, count and relation of a caption is in its picture, judged one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from PIL import Image

from limner.generators.base import ImageTextModel
from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.evaluation.measures import Figure, share
from limner.generators.vision.atoms import Atom, atoms_of

KINDS = ("noun", "colour", "count", "relation")
TOGETHER = 64
"""Pictures that are judged in one call."""


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
    asked = [
        (image, picture.text, atoms_of(picture.text, picture.nouns, {*nouns} - {*picture.nouns}))
        for image, picture in zip(images, pictures, strict=True)
    ]
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
