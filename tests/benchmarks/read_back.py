"""What the read-back loss does for a GAN: trained with it and without it, three seeds each, on coloured pictograms."""

# pyright: basic

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data import downloads
from limner.generators.training.data.picture_folder import PictureFolder, open_picture
from limner.generators.training.doodle.pictograms import Pictogram, Pictograms, read_nouns, with_article
from limner.generators.training.evaluation.features import FEATURES, load_features
from limner.generators.training.evaluation.measures import frechet_distance
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.families.one_pass import PLANS, OnePassRecipe, train_one_pass
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import cores, show, spread
from tests.benchmarks.held_out import DOWNLOADS

NOUNS = ("apple", "car", "balloon", "fish", "butterfly", "umbrella", "crab", "mushroom", "teddy bear", "heart")
COLOURS = ("red", "yellow", "green", "blue", "purple", "pink")
SIDE, EACH = 32, 24
"""Width and height, and pictures of each caption to learn from."""
SAMPLES, BATCH = 9_600, 32
SEEDS, PAINTED = 3, 4
"""Trainings of each kind, and pictures painted of each caption."""
ONE_IN = 6
"""One caption in so many is held out of the training."""
WORDS = str(PRETRAINED / "doodle")
"""What reads the captions."""
READER = str(PRETRAINED / "image-text")


class Figures(NamedTuple):
    """Of one training: shares of pictures whose own caption comes first among all, and the FID."""

    by_loss: float
    by_captioner: float
    held_out: float
    distance: float


def main() -> None:
    """Print the table."""
    cores()
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    reader = FolderImageTextModel.load(READER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "pictures", pictograms)
        ways = {"without it": None, "with the read-back loss": READER}
        rows = [(way, *_spreads(folder, reader, source)) for way, source in ways.items()]
    show(
        f"GAN of {SIDE}x{SIDE} pixels, {len(NOUNS) * len(COLOURS)} captions, {SAMPLES} samples, {SEEDS} seeds each",
        ("", "own caption first, image-text model", "... by the captioner", "... of held-out captions", "FID"),
        rows,
        f"Median (lowest to highest) of the seeds; {PAINTED} pictures of each caption, FID from the training pictures. "
        "The image-text model is the one of the loss; held-out captions are judged by the captioner.",
    )


def write(folder: Path, pictograms: Pictograms) -> None:
    """Pictures to learn from: things in colours on white, at any place and of many sizes."""
    folder.mkdir()
    lines: list[str] = []
    for caption, (noun, colour) in zip(captions(), product(NOUNS, COLOURS), strict=True):
        for number in range(EACH if caption not in held_out() else 0):
            file = f"{len(lines)}.png"
            _drawn(pictograms[noun], colour, Random(f"{caption} {number}")).save(folder / file)
            lines.append(json.dumps({"file_name": file, "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def captions() -> list[str]:
    """All captions."""
    return [with_article(f"{colour} {noun}", noun) for noun, colour in product(NOUNS, COLOURS)]


def held_out() -> set[str]:
    """The captions that are in no training; each noun and each colour is in others."""
    return set(Random(0).sample(captions(), len(captions()) // ONE_IN))


def _drawn(pictogram: Pictogram, colour: str, random: Random) -> Image.Image:
    thing = pictogram.image if pictogram.colour == colour else pictogram.painted(colour)
    side = round(4 * SIDE * random.uniform(0.65, 0.95))
    thing = thing.resize((side, side), Image.Resampling.LANCZOS)
    thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else thing
    image, free = Image.new("RGB", (4 * SIDE, 4 * SIDE), "white"), 4 * SIDE - side
    image.paste(thing, (round(free * random.random()), round(free * random.random())), thing)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _spreads(folder: Path, reader: FolderImageTextModel, source: str | None) -> tuple[str, ...]:
    found = [_measure(folder, reader, source, seed) for seed in range(SEEDS)]
    *shares, distances = zip(*found, strict=True)
    return (*(spread(values, "{:.2f}") for values in shares), spread(distances, "{:.1f}"))


def _measure(folder: Path, reader: FolderImageTextModel, source: str | None, seed: int) -> Figures:
    plan = replace(PLANS["gan"], samples=SAMPLES, batch=BATCH, seed=seed)
    recipe = OnePassRecipe(
        family="gan",
        pictures=folder / "pictures",
        folder=folder / f"gan-{bool(source)}-{seed}",
        words=WORDS,
        plan=plan,
        image_text_model=source,
    )
    model = train_one_pass(recipe)
    painting = Painting(ModelCard.read("gan", str(model)), device="cpu")
    prompts = [caption for caption in captions() for _ in range(PAINTED)]
    painted = painting.paint(prompts)
    painting.close()
    return judged(reader, painted, prompts, PictureFolder(folder / "pictures"))


def judged(
    reader: FolderImageTextModel, painted: Sequence[Image.Image], prompts: Sequence[str], real: PictureFolder
) -> Figures:
    """The figures of painted pictures and their prompts."""
    features = load_features(FEATURES)
    texts = captions()
    own = np.array([texts.index(prompt) for prompt in prompts])
    by_loss = reader.score(painted, texts).argmax(1) == own
    by_captioner = np.array([reader.fits(image, texts).argmax() for image in painted]) == own
    is_held_out = np.array([prompt in held_out() for prompt in prompts])
    shown = [open_picture(picture.file).resize(painted[0].size) for picture in real.pictures]
    distance = frechet_distance(features.features(shown), features.features(painted))
    return Figures(by_loss.mean(), by_captioner.mean(), by_captioner[is_held_out].mean(), distance.value)


if __name__ == "__main__":
    main()
