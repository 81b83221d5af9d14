"""How near the style networks come to a style: those that ship, and one learnt from each of three drawn pictures."""

# pyright: basic

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.one_pass.cyclegan import CycleGANGenerator
from limner.generators.requests import GenerationRequest
from limner.generators.training.data import downloads
from limner.generators.training.data.rendered_styles import RENDERED
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import SceneMaker, compose
from limner.generators.training.evaluation.measures import Figure, estimate
from limner.generators.training.families.style import PLAN, StyleRecipe, train_style
from tests.benchmarks.figures import cores, show
from tests.benchmarks.held_out import DOWNLOADS

SCENES, LEARNT_FROM = 100, 1_000
SOFTNESS = (0.0, 1.0, 2.0)
"""Blur, in pixels, of what is given to the networks and the filters."""
SIDE = 256
"""Width and height of the drawn styles."""


def main() -> None:
    """Print the tables."""
    cores()
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    maker = SceneMaker(pictograms, held_out=True)
    scenes = [maker.make(Random(number)).image.convert("RGB") for number in range(SCENES)]
    show(
        f"{SCENES} scenes that the networks have not learnt from, 128x128",
        ("style", "blur, pixels", "nothing", "the filters", "the network"),
        [row for style in RENDERED for row in _rendered(style, scenes)],
        "Mean absolute error of a pixel, of 255 levels, from what the filters render of the scene without blur; with "
        "95 % intervals.",
    )
    with tempfile.TemporaryDirectory() as name:
        compose(Path(name) / "scenes", SceneMaker(pictograms), 0, LEARNT_FROM)
        rows = [_learnt(Path(name), style, draw()) for style, draw in DRAWN.items()]
    show(
        f"limner train style, {PLAN.samples} samples, of which {LEARNT_FROM // 10} scenes are kept back",
        ("style", "distance in style", "distance in content", "minutes"),
        rows,
        "In style 1 is an unchanged picture, in content another one.",
    )


def _rendered(style: str, scenes: Sequence[Image.Image]) -> list[tuple[str, ...]]:
    folder = PRETRAINED / "styles" / style
    network = CycleGANGenerator.load(ModelCard.read(style, str(folder)), device="cpu")
    rows: list[tuple[str, ...]] = []
    for softness in SOFTNESS:
        errors = [_errors(style, network, scene, softness) for scene in scenes]
        cells = [_mean([error[at] for error in errors]) for at in range(3)]
        rows.append(
            (style, f"{softness:g}", *(f"{cell.value:.1f} ({cell.low:.1f} to {cell.high:.1f})" for cell in cells))
        )
    network.close()
    return rows


def _errors(style: str, network: CycleGANGenerator, scene: Image.Image, softness: float) -> tuple[float, float, float]:
    """Of one scene: as it is given, by the filters and by the network."""
    given = scene.filter(ImageFilter.GaussianBlur(softness))
    noise = torch.randn(1, 1, *scene.size[::-1], generator=torch.Generator().manual_seed(0))
    wanted, filtered = (_levels(RENDERED[style](_pixels(image), noise)) for image in (scene, given))
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        given.save(file.name)
        how = {"model": style, "num_inference_steps": 1, "guidance_scale": 1.0, "init_image": file.name, "seed": 0}
        network.admit("it", GenerationRequest(prompt="", width=scene.width, height=scene.height, **how))
        (event,) = network.step()
    assert isinstance(event, Finished)
    nothing, by_filters, by_network = (
        float(np.abs(found - wanted).mean())
        for found in (np.asarray(given, float), filtered, np.asarray(event.images[0], float))
    )
    return nothing, by_filters, by_network


def _mean(values: Sequence[float]) -> Figure:
    each = np.array(values)
    return estimate(lambda rows: float(each[rows].mean()), len(each))


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def _levels(pixels: Tensor) -> np.ndarray:
    return ((pixels[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()


def _learnt(folder: Path, name: str, style: Image.Image) -> tuple[str, ...]:
    file = folder / f"{name}.png"
    style.save(file)
    recipe = StyleRecipe(
        style=str(file), pictures=folder / "scenes", folder=folder / name, image_text_model=PRETRAINED / "image-text"
    )
    begun = time.monotonic()
    figures = train_style(recipe)
    return name, f"{figures.style:.2f}", f"{figures.content:.2f}", f"{(time.monotonic() - begun) / 60:.1f}"


def draw_strokes() -> Image.Image:
    """Brush strokes in blue and yellow that run around a centre."""
    random, image = np.random.default_rng(0), Image.new("RGB", (SIDE, SIDE), (30, 50, 110))
    draw, half = ImageDraw.Draw(image), SIDE // 2
    palette = [(28, 52, 120), (60, 110, 180), (240, 200, 70), (250, 240, 180), (20, 30, 60), (120, 170, 200)]
    for _ in range(5000):
        x, y = random.uniform(0, SIDE, 2)
        angle = np.arctan2(y - half, x - half) + np.pi / 2 + 0.6 * np.sin(x / 30)
        ring = int(np.hypot(x - half, y - half) / 24 + random.normal(0, 0.7)) % len(palette)
        colour = tuple(int(value + random.normal(0, 14)) for value in palette[ring])
        across, down = random.uniform(5, 12) * np.array([np.cos(angle), np.sin(angle)])
        draw.line([x - across, y - down, x + across, y + down], fill=colour, width=3)
    return image


def draw_mosaic() -> Image.Image:
    """Uneven tiles in earthen colours with dark joints."""
    random, image = np.random.default_rng(0), Image.new("RGB", (SIDE, SIDE), (35, 30, 30))
    draw = ImageDraw.Draw(image)
    palette = [(200, 150, 60), (60, 120, 110), (170, 70, 50), (230, 210, 170), (40, 70, 110)]
    for y in range(0, SIDE, 10):
        for x in range(0, SIDE, 10):
            ring = int(np.hypot(x - 100, y - 120) / 35) % len(palette)
            colour = tuple(int(value + random.normal(0, 15)) for value in palette[ring])
            left, right, low = random.uniform(0, 2), random.uniform(7, 9), random.uniform(7, 9)
            draw.polygon(
                [(x + left, y + 1), (x + right, y + 1), (x + right, y + low), (x + left, y + low)], fill=colour
            )
    return image


def draw_halftone() -> Image.Image:
    """Red and blue dots of a coarse print."""
    image = Image.new("RGB", (SIDE, SIDE), (250, 240, 215))
    draw = ImageDraw.Draw(image)
    for y in range(0, SIDE, 8):
        for x in range(0, SIDE, 8):
            reach = 2.8 + 2.2 * np.sin(x / 40) * np.cos(y / 30)
            colour = (215, 40, 45) if x + y > SIDE else (30, 80, 160)
            draw.ellipse([x + 4 - reach, y + 4 - reach, x + 4 + reach, y + 4 + reach], fill=colour)
    return image


DRAWN = {"strokes": draw_strokes, "mosaic": draw_mosaic, "halftone": draw_halftone}
"""The pictures whose styles are learnt."""


if __name__ == "__main__":
    main()
