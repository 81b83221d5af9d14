"""What of an idea a picture shows, as an image-text model reads it, and what is painted next for the rest."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from limner.generators.base import Finished, ImageTextModel
from limner.generators.cards.model_card import ModelCard
from limner.generators.image_canvas import pasted
from limner.generators.image_files import as_address, encode_png
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.training.doodle.pictograms import COLOURS, plural, read_nouns
from limner.generators.vision.atoms import Atom, atoms_of
from limner.generators.vision.missing_places import MissingPlace, place_of_missing
from limner.generators.weights import without_weights

MORE, MOST_WEIGHT = 0.3, 1.6
"""What a missing word's weight grows by in each round, and how far."""
REPAINTED = 0.8
"""How much of the best picture a round may change that starts from it."""
LEEWAY = {"noun": 1.9, "colour": 1.8, "count": 0.7, "relation": 0.25}
"""How much better another word must fit before a word is missing: nine in ten words of real scenes are then seen."""


@dataclass(frozen=True)
class Reading:
    """The words of an idea that are seen in a picture and those that are missing, and the picture's nearness to it."""

    seen: tuple[str, ...]
    missing: tuple[str, ...]
    nearness: float

    @property
    def agreement(self) -> float:
        """The share of the words that are seen; 1 if the idea has none that can be judged."""
        judged = len(self.seen) + len(self.missing)
        return len(self.seen) / judged if judged else 1.0


UNREAD = Reading((), (), 0.0)


def atoms_in(idea: str) -> list[Atom]:
    """The nouns, colours, counts and places of an English idea that can be judged."""
    plain, kinds = without_weights(idea), _nouns()
    found = [name for name in kinds if _has(plain, name) or _has(plain, plural(name))]
    whole = tuple(name for name in found if not any(name != other and _has(other, name) for other in found))
    own = {kinds[name] for name in whole}
    others = {kind for kind in kinds.values() if kind not in own}
    return atoms_of(plain, whole, others)


def read_back(model: ImageTextModel, images: Sequence[Image.Image], idea: str) -> list[Reading]:
    """What of an idea each picture shows.

    A word is missing where the picture fits the idea with another word in its place clearly better
    (`ImageTextModel.fits`, `LEEWAY`).
    """
    plain, atoms = without_weights(idea), atoms_in(idea)
    texts = [plain, *(rival for atom in atoms for rival in atom.rivals)]
    nearness = model.score(images, [plain])[:, 0].tolist()
    return [
        _reading(atoms, model.fits(image, texts).tolist() if atoms else [0.0], near)
        for image, near in zip(images, nearness, strict=True)
    ]


def weighted(prompt: str, weights: Mapping[str, float], *, weighs: bool) -> str:
    """A prompt in which these words have more weight; a model that reads no weights gets them once more at its end."""
    if not weighs:
        return ", ".join((prompt, *weights))
    for word, weight in weights.items():
        prompt = re.sub(rf"(?<![(\w])({re.escape(word)})(?!\w|:)", rf"(\1:{weight:.1f})", prompt, count=1, flags=re.I)
    return prompt


@dataclass(frozen=True)
class ReadPicture:
    """A painted picture, what was seen in it, the round that painted it (0 is the first), and its prompt."""

    image: Image.Image
    seed: int
    reading: Reading
    round: int
    prompt: str

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better."""
        return self.reading.agreement, self.reading.nearness


@dataclass(frozen=True)
class PaintedPart:
    """A part of a picture that a round paints again, white in the mask."""

    picture: Image.Image
    mask: Image.Image
    place: MissingPlace


@dataclass
class Refinement:
    """One request that is painted, read back and painted again, until its pictures show the idea or its rounds end.

    The same request gives the same rounds. A round paints as many pictures as the first, from other seeds, with more
    weight on the words that the best pictures lack. The first round after that, and every second one, paints only the
    ``part`` of the best picture that lacks a word, if it is known where that belongs (`where`); the others start from
    the whole best picture, where the model can. ``weights`` are those of the next round, ``last_weights`` those of the
    last one; ``is_read`` is false as soon as pictures could not be read. ``places`` are those that were painted again.
    """

    request: GenerationRequest
    card: ModelCard
    idea: str
    pictures: list[ReadPicture] = field(default_factory=list[ReadPicture])
    paintings: list[Finished] = field(default_factory=list[Finished])
    weights: dict[str, float] = field(default_factory=dict[str, float])
    last_weights: dict[str, float] = field(default_factory=dict[str, float])
    is_read: bool = True
    part: PaintedPart | None = None
    places: list[MissingPlace] = field(default_factory=list[MissingPlace])

    @property
    def best(self) -> list[ReadPicture]:
        """The pictures to keep, the best first."""
        return self.best_of(self.pictures)

    @property
    def is_over(self) -> bool:
        """Whether no other round comes."""
        return not self.is_read or not missing(self.best) or len(self.paintings) > self.request.refine

    @property
    def prompt(self) -> str:
        """The prompt of what is painted next."""
        return weighted(self.request.prompt, self.weights, weighs=self.card.weighs)

    @property
    def where(self) -> MissingPlace | None:
        """Where the best picture that lacks a word lacks it, if the next round can paint that part."""
        if self.is_over or not self._is_part_next:
            return None
        return place_of_missing(without_weights(self.idea), atoms_in(self.idea), self.lacking.reading.missing)

    @property
    def lacking(self) -> ReadPicture:
        """The best picture that lacks a word."""
        return next(one for one in self.best if one.reading.missing)

    @property
    def _is_part_next(self) -> bool:
        return len(self.paintings) % 2 == 1 and self.card.masks and self.card.starts and not self.request.init_image

    def best_of(self, pictures: Sequence[ReadPicture]) -> list[ReadPicture]:
        """As many of the pictures as are kept, the best first; of equal ones the earlier."""
        return sorted(pictures, key=lambda one: one.rank, reverse=True)[: self.request.count]

    def next_request(self) -> GenerationRequest:
        """What is painted next."""
        request, number = self.request, len(self.paintings)
        if not number:
            return request
        seed = (request.seed + number * request.num_images_per_prompt) % SEEDS
        again = replace(request, prompt=self.prompt, seed=seed)
        if self.part:
            start, mask = (as_address(encode_png(one)) for one in (self.part.picture, self.part.mask))
            return replace(again, init_image=start, mask=mask, strength=1.0)
        if number % 2 or request.init_image or not self.card.starts:
            return again
        return replace(again, init_image=as_address(encode_png(self.best[0].image)), strength=REPAINTED)

    def whole(self, finished: Finished) -> Finished:
        """A round's pictures with the rest of the picture of which they painted a part."""
        if not (part := self.part):
            return finished
        images = [pasted(image, part.picture, part.mask, self.request) for image in finished.images]
        return replace(finished, images=images)

    def take(self, finished: Finished, readings: Sequence[Reading]) -> None:
        """Add the whole pictures of a round and what was read in them; without readings they could not be read."""
        if self.part:
            self.places.append(self.part.place)
        self.part = None
        self.is_read = self.is_read and bool(readings)
        number = len(self.paintings)
        found = readings or [UNREAD] * len(finished.images)
        for image, seed, reading in zip(finished.images, finished.seeds, found, strict=True):
            self.pictures.append(ReadPicture(image, seed, reading, number, self.prompt))
        self.paintings.append(finished)
        self.last_weights = dict(self.weights)
        for word in missing(self.best):
            self.weights[word] = min(MOST_WEIGHT, self.weights.get(word, 1.0) + MORE)


def missing(pictures: Sequence[ReadPicture]) -> dict[str, None]:
    """The words that at least one of the pictures lacks, in order."""
    return dict.fromkeys(word for one in pictures for word in one.reading.missing)


def _reading(atoms: Sequence[Atom], fits: Sequence[float], nearness: float) -> Reading:
    rivals = iter(fits[1:])
    best = {atom: max(next(rivals) for _ in atom.rivals) for atom in atoms}
    missing = dict.fromkeys(atom.word for atom in atoms if fits[0] <= best[atom] - LEEWAY[atom.kind])
    seen = dict.fromkeys(atom.word for atom in atoms if atom.word not in missing)
    return Reading(tuple(seen), tuple(missing), nearness)


@functools.cache
def _nouns() -> dict[str, str]:
    """Names of things with the noun that each one means; not those that are colours too."""
    names = ((name, noun.name) for noun in read_nouns() for name in (noun.name, *noun.synonyms))
    return {name: kind for name, kind in names if name not in COLOURS}


def _has(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None
