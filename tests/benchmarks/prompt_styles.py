"""Whether the styles that prompts name can be seen in what doodle paints."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

import numpy as np
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import SceneMaker
from limner.generators.training.doodle.styles import WORDINGS, render, worded
from limner.generators.training.evaluation.measures import Figure, share
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes

LEARNT_FROM, ASKED = 600, 24
"""Scenes that the probe learns from, each in every style, and captions that are painted in every style."""
STYLES = (*WORDINGS, "plain")
RIDGE = 1e-3


class Probe:
    """Tells styles apart: ridge regression from features to one number for each style."""

    def __init__(self, features: np.ndarray, styles: Sequence[int]) -> None:
        known, wanted = _with_one(features), np.eye(len(STYLES))[list(styles)]
        self._weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)

    def read(self, features: np.ndarray) -> list[str]:
        """The style of each picture."""
        return [STYLES[number] for number in (_with_one(features) @ self._weights).argmax(1)]


def main() -> None:
    """Print the table."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    known, unseen = SceneMaker(pictograms, scale=2), SceneMaker(pictograms, scale=2, held_out=True)
    learnt = [_rendered(known.make(Random(number)).image, number) for number in range(LEARNT_FROM)]
    probe = Probe(_features(model, learnt), [*range(len(STYLES))] * LEARNT_FROM)
    rendered = [
        _rendered(unseen.make(Random(number)).image, number) for number in range(LEARNT_FROM, LEARNT_FROM + 100)
    ]
    captions = [one.scene.caption for one in islice(unseen_scenes(pictograms, read_seen()), ASKED)]
    painting = Painting(ModelCard.read("doodle", str(PRETRAINED / "doodle")), device="cpu")
    painted = [painting.paint([_prompt(caption, style) for caption in captions]) for style in STYLES]
    in_painted = [probe.read(np.array(model.features(images))) for images in painted]
    in_rendered = np.array(probe.read(_features(model, rendered))).reshape(-1, len(STYLES)).T
    show(
        "styles in pictures of combinations that doodle and the probe have never seen",
        ("style", f"seen in rendered scenes ({len(rendered)})", f"in what doodle paints ({ASKED})", "taken for"),
        [
            (
                style,
                _cell(in_rendered[at] == style),
                _cell(np.array(in_painted[at]) == style),
                _others(style, in_painted[at]),
            )
            for at, style in enumerate(STYLES)
        ],
        f"By a linear probe on the image-text model's features, learnt from {LEARNT_FROM} scenes in every style; "
        "in brackets 95 % intervals. Each caption is painted from one seed, in a wording chosen by chance.",
    )


def _rendered(scene: Image.Image, number: int) -> list[Image.Image]:
    return [*(render(scene, style, number) for style in WORDINGS), scene]


def _prompt(caption: str, style: str) -> str:
    return worded(caption, style, Random(caption)) if style in WORDINGS else caption


def _features(model: FolderImageTextModel, scenes: Sequence[Sequence[Image.Image]]) -> np.ndarray:
    return np.concatenate([np.array(model.features(images)) for images in scenes])


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.c_[features.astype(float), np.ones(len(features))]


def _cell(right: Sequence[bool]) -> str:
    figure: Figure = share(list(map(bool, right)))
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _others(style: str, found: Sequence[str]) -> str:
    wrong = {other: found.count(other) for other in STYLES if other != style and other in found}
    return ", ".join(f"{other} {times}" for other, times in wrong.items())


if __name__ == "__main__":
    main()
