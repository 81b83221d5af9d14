"""Text-image agreement: prompts, and how often an image-text model assigns the picture to its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from limner.generators.base import ImageTextModel
from limner.generators.training.data.picture_folder import CaptionedPicture, PictureFolder
from limner.generators.training.doodle.pictograms import read_nouns, with_article
from limner.generators.training.evaluation.atoms import judge_atoms
from limner.generators.training.evaluation.measures import Figure, first, places

AMONG = 100
"""Captions among which a picture's own is ranked, or fewer if the folder has too few different ones."""
REFERENCES = 2_000
"""Most real pictures for comparisons, or as many as are painted."""


@dataclass(frozen=True)
class Questions:
    """Prompts for a model: captions of real pictures, single nouns, and unseen words.

    ``references`` are other pictures of the same folder, for comparisons with painted and real ones. ``nouns`` are the
    classes of pictures; a folder without nouns gives captions only.
    """

    pictures: tuple[CaptionedPicture, ...]
    references: tuple[CaptionedPicture, ...]
    nouns: tuple[str, ...]
    asked: tuple[str, ...]
    unseen: tuple[tuple[str, str], ...]
    """A word that stands in no caption, and the noun that it means."""

    @classmethod
    def of(cls, folder: PictureFolder, count: int) -> Questions:
        """At most ``count`` captions (half of the folder's) and nouns; the same folder and count give the same ones."""
        nouns = sorted({noun for picture in folder.pictures for noun in picture.nouns})
        shuffled = Random(0).sample(folder.pictures, len(folder))
        half = min(count, len(folder) // 2)
        return cls(
            tuple(shuffled[:half]),
            tuple(shuffled[half:][: max(half, REFERENCES)]),
            tuple(nouns),
            tuple(Random(0).sample(nouns, min(count, len(nouns)))),
            tuple((word, noun.name) for noun in read_nouns() if noun.name in nouns for word in noun.unseen)[:count],
        )

    @property
    def captions(self) -> list[str]:
        """The captions, in the order of the pictures."""
        return [picture.text for picture in self.pictures]

    @property
    def prompts(self) -> list[str]:
        """All prompts."""
        return [*self.captions, *map(_named, self.asked), *(_named(word) for word, _ in self.unseen)]

    def judge(self, image_text_model: ImageTextModel, images: Sequence[Image.Image]) -> dict[str, Figure]:
        """The figures of the painted prompts: shares that the image-text model assigns to their prompts."""
        captions, asked = len(self.captions), len(self.asked)
        figures = self._of_captions(image_text_model, images[:captions])
        figures |= judge_atoms(image_text_model, images[:captions], self.pictures, self.nouns)
        figures |= self._of_nouns("noun", image_text_model, images[captions : captions + asked], self.asked)
        meant = [noun for _, noun in self.unseen]
        return figures | self._of_nouns("unseen_synonym", image_text_model, images[captions + asked :], meant)

    def judge_real(self, image_text_model: ImageTextModel, images: Sequence[Image.Image]) -> dict[str, Figure]:
        """The same figures of the real pictures, an upper bound for any model."""
        alone = [number for number, picture in enumerate(self.pictures) if len(picture.nouns) == 1]
        names = [self.pictures[number].nouns[0] for number in alone]
        figures = self._of_captions(image_text_model, images)
        figures |= judge_atoms(image_text_model, images, self.pictures, self.nouns)
        return figures | self._of_nouns("noun", image_text_model, [images[number] for number in alone], names)

    def kinds(self, image_text_model: ImageTextModel, images: Sequence[Image.Image]) -> np.ndarray:
        """Similarity of each picture (row) to each noun (column)."""
        return image_text_model.score(images, [_named(noun) for noun in self.nouns])

    def _of_captions(self, image_text_model: ImageTextModel, images: Sequence[Image.Image]) -> dict[str, Figure]:
        """Rank of each picture's caption among those of different things; the same number for all pictures."""
        pool = [*self.pictures, *self.references][: len(self.pictures) + 2 * AMONG]
        rivals = [_rivals(number, pool) for number in range(len(self.pictures))]
        fewest = min(map(len, rivals))
        if not fewest:
            return {}
        scores = image_text_model.score(images, [picture.text for picture in pool])
        compared = [row[None, [number, *rivals[number][:fewest]]] for number, row in enumerate(scores)]
        return {f"caption_first_of_{fewest + 1}": first([place for row in compared for place in places(row, [[0]])])}

    def _of_nouns(
        self, what: str, image_text_model: ImageTextModel, images: Sequence[Image.Image], names: Sequence[str]
    ) -> dict[str, Figure]:
        if not names:
            return {}
        found = places(self.kinds(image_text_model, images), [[self.nouns.index(name)] for name in names])
        return {f"{what}_first": first(found), f"{what}_in_first_five": first(found, 5)}


def _rivals(number: int, pool: Sequence[CaptionedPicture]) -> list[int]:
    """The next captions about different things: two captions about the same thing may both be true."""
    own = pool[number]
    found: dict[str, int] = {}
    for other in [*range(number + 1, len(pool)), *range(number)]:
        text, nouns = pool[other].text, pool[other].nouns
        if text != own.text and not {*nouns} & {*own.nouns}:
            found.setdefault(text, other)
        if len(found) == AMONG - 1:
            break
    return list(found.values())


def _named(noun: str) -> str:
    return with_article(noun, noun)
