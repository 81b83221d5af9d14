"""How well the shipped segmentation model finds what words name, in scenes that it has never seen and painted ones."""

# pyright: basic

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from statistics import mean

import numpy as np
import torch
from PIL import Image

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.training.data import downloads
from limner.generators.training.data.picture_folder import CaptionedPicture, PictureFolder, open_picture
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import write_scenes
from limner.generators.training.evaluation.measures import estimate
from limner.generators.training.families.segmentation import PartQuestion, PartQuestions, judge
from limner.generators.vision.segmentation import load_segmentation
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes
from tests.benchmarks.word_maps import TOGETHER, address, paint, request_of

SCENES = 600
PAINTED = 200
"""Scenes of which doodle paints its own picture."""
STRENGTH = 0.6
"""How much of a scene's picture doodle paints again: what it shows stays where it is, in doodle's own lines."""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
        found = islice(unseen_scenes(pictograms, read_seen()), SCENES)
        write_scenes(Path(folder), (one.scene for one in found), regions=True)
        scenes = PictureFolder(Path(folder))
        images = [open_picture(picture.file) for picture in scenes.pictures]
        drawn, painted = _scores(scenes, images), _scores(scenes, _painted_again(scenes.pictures[:PAINTED], images))
    show(
        f"{SCENES} scenes that the segmentation model has never seen, one question about each",
        ("the words name", "scenes", f"{PAINTED} of them, painted again by doodle"),
        [(kind, _cell(scores), _cell(painted[kind])) for kind, scores in drawn.items()],
        "Intersection over union; where the words name nothing, the share of pictures in which nothing is found. In "
        "brackets: 95 % intervals and numbers of pictures.",
    )


def _scores(scenes: PictureFolder, images: Sequence[Image.Image]) -> dict[str, list[float]]:
    """The score of a question about each picture, by what its words name."""
    model = load_segmentation(str(PRETRAINED / "segmentation"))
    questions = PartQuestions(scenes.pictures)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number, image in enumerate(images):
        asked = [questions.ask(number, Random(number))]
        mask = torch.from_numpy(np.asarray(model.find(image, asked[0].words)) > 0)[None]
        [score] = judge(mask, questions.answers([number], asked, scenes.side).bool(), asked)
        found[_kind(asked[0], scenes.pictures[number])].append(score)
    return found


KINDS = ("the one thing", "one of two things", "the background", "nothing in the picture")


def _kind(question: PartQuestion, picture: CaptionedPicture) -> str:
    if question.region is None:
        return KINDS[3]
    if question.region == 0:
        return KINDS[2]
    return KINDS[len(picture.nouns) > 1]


def _painted_again(pictures: Sequence[CaptionedPicture], images: Sequence[Image.Image]) -> list[Image.Image]:
    card = ModelCard.read("doodle", str(PRETRAINED / "doodle"))
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=TOGETHER)
    made: list[Image.Image] = []
    for start in range(0, len(pictures), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(pictures)))
        how = [{"init_image": address(images[number]), "strength": STRENGTH, "explained": False} for number in numbers]
        asked = [request_of(card, pictures[n].text, n, **more) for n, more in zip(numbers, how, strict=True)]
        made += [event.images[0] for event in paint(generator, asked)]
    return made


def _cell(scores: Sequence[float]) -> str:
    figure = estimate(lambda rows: mean(scores[row] for row in rows), len(scores))
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}, {figure.samples})"


if __name__ == "__main__":
    main()
