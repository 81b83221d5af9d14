"""What refining does: doodle, captions of what it has never seen, before and after the rounds of `--refine`."""

# pyright: basic

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import mean

import numpy as np

from limner.generators.cards.model_card import ModelCard
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.training.data import downloads
from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import Scene
from limner.generators.training.evaluation.atoms import judge_atoms
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.atoms import atoms_of
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.missing_places import mask_of
from limner.generators.vision.read_back import PaintedPart, ReadPicture, Refinement, atoms_in, read_back
from limner.generators.vision.segmentation import TextSegmentation, load_segmentation
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes

CAPTIONS, ROUNDS = 48, 3
SCENES, RIGHT = 130, 0.9
"""Scenes in whose captions a word is replaced, and the share of right words that are to be taken for right."""
NOUNS = tuple(sorted(noun.name for noun in read_nouns()))


class Unchanged(Refinement):
    """Paints as often, from the same seeds, and changes nothing else."""

    def next_request(self) -> GenerationRequest:
        """The request from another seed."""
        return replace(self.request, seed=(self.request.seed + len(self.paintings)) % SEEDS)


def main() -> None:
    """Print both tables."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    scenes = [one.scene for one in islice(unseen_scenes(pictograms, read_seen()), max(SCENES, 2 * CAPTIONS))]
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    show(
        f"{SCENES} scenes with one word of the caption replaced",
        ("one wrong", "by the cosine", "by the captioner's probability of the caption"),
        noticed(model, scenes[:SCENES]),
        f"Shares of wrong words that are noticed where {RIGHT:.0%} of the right ones are taken for right.",
    )
    scenes = [scene for scene in scenes[: 2 * CAPTIONS] if len(atoms_in(scene.caption)) > 1][:CAPTIONS]
    painting = Painting(ModelCard.read("doodle", str(PRETRAINED / "doodle")), device="cpu")
    requests = [
        replace(painting.request(scene.caption, 1000 * number), refine=ROUNDS) for number, scene in enumerate(scenes)
    ]
    refined = refine(painting, model, [Refinement(one, painting.card, one.prompt) for one in requests])
    plain = refine(painting, model, [Unchanged(one, painting.card, one.prompt) for one in requests])
    first = [one.pictures[0] for one in refined]
    real = [read_back(model, [scene.image], scene.caption)[0] for scene in scenes]
    ways = (
        ("the first picture", first, 1.0),
        (f"as often, nothing changed, the best kept (at most {ROUNDS} more)", *_kept(plain)),
        (f"--refine {ROUNDS}", *_kept(refined)),
    )
    rows = [(name, *_figures(model, scenes, kept), f"{pictures:.1f}") for name, kept, pictures in ways]
    rows.append(("the real scene", f"{mean(one.agreement for one in real):.2f}", *[""] * 4))
    show(
        f"doodle: {len(scenes)} captions of combinations that it has never seen",
        ("", "words seen", "captions with all seen", "atoms by cosine", "nearness", "pictures"),
        rows,
        "Words are read by the captioner, which also chooses; atoms by cosine and nearness by the image-text model.",
    )


def noticed(model: FolderImageTextModel, scenes: Sequence[Scene]) -> list[tuple[str, ...]]:
    """For each kind of word the share of wrong ones that are noticed, by the cosine and by the captioner."""
    leads: dict[str, list[tuple[tuple[float, float], ...]]] = defaultdict(list)
    for scene in scenes:
        for atom in atoms_of(scene.caption, scene.nouns, {*NOUNS} - {*scene.nouns}):
            texts = [scene.caption, *atom.rivals]
            wrong = texts.index(Random(scene.caption).choice(atom.rivals))
            fits = model.score([scene.image], texts)[0], model.fits(scene.image, texts)
            leads[atom.kind].append(tuple((_lead(some, 0), _lead(some, wrong)) for some in fits))
    return [
        (f"{kind} (of {len(found)})", *(f"{_share_noticed(way):.2f}" for way in zip(*found, strict=True)))
        for kind, found in leads.items()
    ]


def _lead(fits: np.ndarray, place: int) -> float:
    """How much better a text fits than the best other one."""
    return float(fits[place] - np.delete(fits, place).max())


def _share_noticed(leads: Sequence[tuple[float, float]]) -> float:
    right, wrong = np.array(leads).T
    return float((wrong < np.quantile(right, 1 - RIGHT)).mean())


def refine(painting: Painting, model: FolderImageTextModel, asked: Sequence[Refinement]) -> list[Refinement]:
    """Paint all rounds of all requests, as the worker does."""
    segmentation = load_segmentation(str(PRETRAINED / "segmentation"))
    while going := [one for one in asked if not one.is_over or not one.paintings]:
        done = painting.carry_out([one.next_request() for one in going], _tell)
        for one, finished in zip(going, done, strict=True):
            whole = one.whole(finished)
            one.take(whole, read_back(model, whole.images, one.idea))
            one.part = _part(one, segmentation)
    return list(asked)


def _part(one: Refinement, segmentation: TextSegmentation) -> PaintedPart | None:
    place = None if isinstance(one, Unchanged) else one.where
    mask = mask_of(place, one.lacking.image, segmentation.find) if place else None
    return PaintedPart(one.lacking.image, mask, place) if place and mask else None


def _tell(done: int, of: int) -> None:
    print(f"\r{done} of {of}", end="", file=sys.stderr)


def _kept(done: Sequence[Refinement]) -> tuple[list[ReadPicture], float]:
    return [one.best[0] for one in done], mean(len(one.pictures) for one in done)


def _figures(model: FolderImageTextModel, scenes: Sequence[Scene], kept: Sequence[ReadPicture]) -> tuple[str, ...]:
    pictures = [CaptionedPicture(Path(), scene.caption, scene.nouns) for scene in scenes]
    atoms = judge_atoms(model, [one.image for one in kept], pictures, NOUNS)
    right = sum(figure.value * figure.samples for name, figure in atoms.items() if name != "all_atoms")
    judged = sum(figure.samples for name, figure in atoms.items() if name != "all_atoms")
    shares = mean(one.reading.agreement for one in kept), mean(not one.reading.missing for one in kept), right / judged
    return (*(f"{value:.2f}" for value in shares), f"{mean(one.reading.nearness for one in kept):.3f}")


if __name__ == "__main__":
    main()
