"""How much of drawings the restoration network gives back, beside the classical filters."""

# pyright: basic

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageFilter

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.requests import RESTORATIONS, Finish
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import SceneMaker
from limner.generators.training.evaluation.measures import Figure, fidelity
from limner.generators.vision.postprocess import ADJUST, Finisher
from tests.benchmarks.figures import ROUNDS, show
from tests.benchmarks.held_out import DOWNLOADS

Change = Callable[[Image.Image], Image.Image]
SCENES = 200
SIDES = (128, 512, 1024)


def main() -> None:
    """Print the tables."""
    maker = SceneMaker(Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns()), held_out=True)
    scenes = [maker.make(Random(number)).image.convert("RGB") for number in range(SCENES)]
    finisher = Finisher(restoration=str(PRETRAINED / "restore"))
    show(
        f"{SCENES} scenes that the network has not learnt from, 128x128",
        ("degraded by", "restored by", "PSNR, dB", "SSIM"),
        [row for name in DEGRADED for row in _rows(finisher, scenes, name)],
        "Means, with 95 % intervals.",
    )
    torch.set_num_threads(1)
    show(
        "Milliseconds of one core",
        ("", *(f"{side}x{side}" for side in SIDES)),
        [(task, *(f"{_milliseconds(finisher, task, side):.0f}" for side in SIDES)) for task in RESTORATIONS],
        f"Median of {ROUNDS}.",
    )


def _noisy(image: Image.Image, levels: float) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(int(pixels.sum())).normal(0, levels, pixels.shape)
    return Image.fromarray((pixels + noise).round().clip(0, 255).astype(np.uint8))


def _blurred(image: Image.Image, pixels: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(pixels))


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def _doubled(image: Image.Image, by: Image.Resampling) -> Image.Image:
    return image.resize((image.width * 2, image.height * 2), by)


def _same(image: Image.Image) -> Image.Image:
    return image


CLASSICAL: dict[str, dict[str, Change]] = {
    "denoise-drawing": {"nothing": _same, "median (denoise)": ADJUST["denoise"]},
    "deblur-drawing": {"nothing": _same, "unsharp mask (sharpen)": ADJUST["sharpen"]},
    "double-drawing": {
        "bicubic": partial(_doubled, by=Image.Resampling.BICUBIC),
        "Lanczos (Upscale)": partial(_doubled, by=Image.Resampling.LANCZOS),
    },
}
"""The filters that each of the `RESTORATIONS` is compared with."""
DEGRADED: dict[str, tuple[str, Change]] = {
    "noise of 10 levels": ("denoise-drawing", partial(_noisy, levels=10)),
    "noise of 25 levels": ("denoise-drawing", partial(_noisy, levels=25)),
    "blur of 1 pixel": ("deblur-drawing", partial(_blurred, pixels=1)),
    "blur of 2 pixels": ("deblur-drawing", partial(_blurred, pixels=2)),
    "half the size": ("double-drawing", _halved),
}
"""How scenes are degraded, and what restores them."""


def _rows(finisher: Finisher, scenes: Sequence[Image.Image], name: str) -> list[tuple[str, ...]]:
    restoration, degrade = DEGRADED[name]
    worse = [degrade(scene) for scene in scenes]
    network = partial(finisher.finish, finish=Finish(adjustments=(restoration,)))
    rows: list[tuple[str, ...]] = []
    for way, change in {**CLASSICAL[restoration], f"the network ({restoration})": network}.items():
        clarity, likeness = fidelity(scenes, [change(image) for image in worse])
        cells = _cell(clarity, ".1f"), _cell(likeness, ".3f")
        rows.append((name, way, *cells))
    return rows


def _cell(figure: Figure, form: str) -> str:
    return f"{figure.value:{form}} ({figure.low:{form}} to {figure.high:{form}})"


def _milliseconds(finisher: Finisher, task: str, side: int) -> float:
    image, found = Image.effect_noise((side, side), 50).convert("RGB"), []
    for _round in range(ROUNDS):
        begun = time.process_time()
        finisher.finish(image, Finish(adjustments=(task,)))
        found.append(1000 * (time.process_time() - begun))
    return median(found)


if __name__ == "__main__":
    main()
