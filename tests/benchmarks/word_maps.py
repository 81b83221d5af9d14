"""Whether the map of a noun lies where the thing is: doodle, scenes of two things that it has never seen."""

# pyright: basic

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from itertools import islice
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Failed, Finished, WordMap
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.word_tokens import WORD, is_content
from limner.generators.requests import GenerationRequest
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import COLOURS, Pictograms, read_nouns
from limner.generators.training.doodle.scenes import Scene
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes

SCENES = 100
TOGETHER = 4
STRENGTH = 0.7
"""How much of a scene's picture is painted again: the things stay where they are."""
WAYS: dict[str, dict[str, Any]] = {
    f"from the scene's picture, strength {STRENGTH}": {"strength": STRENGTH},
    "from the caption alone": {},
}


class Masses(NamedTuple):
    """The shares of a noun's map in its thing's box and in the other thing's, and of the picture that its box is."""

    own: float
    other: float
    box: float


def main() -> None:
    """Print the table."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    found = (one.scene for one in unseen_scenes(pictograms, read_seen()) if _shows_two(one.scene))
    scenes = list(islice(found, SCENES))
    card = ModelCard.read("doodle", str(PRETRAINED / "doodle"))
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=TOGETHER)
    show(
        f"doodle: {SCENES} scenes of two things that it has never seen",
        ("", "scenes: both nouns more than half inside", "nouns", "scenes: more inside than in the other", *AVERAGES),
        [(way, *_row(generator, card, scenes, **more)) for way, more in WAYS.items()],
        "Inside is the rectangle around the thing in the scene; from the caption alone it may stand elsewhere.",
    )


AVERAGES = ("mass inside", "in the other", "the rectangle's share of the picture")


def _shows_two(scene: Scene) -> bool:
    """Whether it has two things, each of which is seen and has a name."""
    return len(scene.names) == 2 and all(scene.names) and not scene.others


def _row(generator: DiffusionGenerator, card: ModelCard, scenes: Sequence[Scene], **more: Any) -> tuple[str, ...]:
    both = [
        masses(scene, maps)
        for start in range(0, len(scenes), TOGETHER)
        for scene, maps in _painted(generator, card, scenes[start : start + TOGETHER], start, more)
    ]
    nouns = [one for pair in both for one in pair]
    return (
        _share([all(one.own > 0.5 for one in pair) for pair in both]),
        _share([one.own > 0.5 for one in nouns]),
        _share([all(one.own > one.other for one in pair) for pair in both]),
        *(f"{100 * mean(values):.0f} %" for values in zip(*nouns, strict=True)),
    )


def _painted(
    generator: DiffusionGenerator, card: ModelCard, scenes: Sequence[Scene], start: int, more: dict[str, Any]
) -> list[tuple[Scene, tuple[WordMap, ...]]]:
    given = [{"init_image": address(scene.image), **more} if more else {} for scene in scenes]
    asked = [request_of(card, scene.caption, start + n, **given[n]) for n, scene in enumerate(scenes)]
    return [(scene, event.maps) for scene, event in zip(scenes, paint(generator, asked), strict=True)]


def paint(generator: DiffusionGenerator, asked: Sequence[GenerationRequest]) -> list[Finished]:
    """Paint requests together, and give what came of each."""
    for number, request in enumerate(asked):
        generator.admit(str(number), request)
    found: dict[str, Finished] = {}
    while len(found) < len(asked):
        for event in generator.step():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                found[event.key] = event
    return [found[str(number)] for number in range(len(asked))]


def request_of(card: ModelCard, prompt: str, seed: int, **more: Any) -> GenerationRequest:
    """A request to explain, as the model paints by itself."""
    usual: dict[str, Any] = {
        "width": card.width,
        "height": card.height,
        "num_inference_steps": card.num_inference_steps,
    }
    usual |= {"guidance_scale": card.guidance_scale, "explained": True}
    return GenerationRequest(prompt=prompt, model=card.name, seed=seed, **usual | more)


def masses(scene: Scene, maps: Sequence[WordMap]) -> list[Masses]:
    """Where the maps of a scene's two nouns are; the map of a name of several words is their mean."""
    boxes = [_inside(scene, number, maps[0].cells.shape) for number in (1, 2)]
    found: list[Masses] = []
    for number, names in enumerate(scene.names):
        cells = cells_of(_name_in(scene.caption, names), maps)
        own, other = (float((cells * boxes[at]).sum() / cells.sum()) for at in (number, 1 - number))
        found.append(Masses(own, other, float(boxes[number].mean())))
    return found


def _name_in(caption: str, names: Sequence[str]) -> str:
    """The name that the caption has, without its colour."""
    found = [name for name in names if re.search(rf"\b{re.escape(name)}\b", caption)]
    coloured = {f"{colour} {name}" for colour in COLOURS for name in found}
    return max((name for name in found if name not in coloured), key=len)


def cells_of(name: str, maps: Sequence[WordMap]) -> np.ndarray:
    """The mean map of a name's words, where they stand together first."""
    words, wanted = [one.word for one in maps], [*filter(is_content, WORD.findall(name))]
    start = next(at for at in range(len(words)) if words[at : at + len(wanted)] == wanted)
    return np.mean([one.cells for one in maps[start : start + len(wanted)]], 0)


def _inside(scene: Scene, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """1 in the cells of a map whose middle is in the rectangle around a thing, else 0."""
    left, upper, right, lower = scene.regions.point(lambda pixel: 255 * (pixel == number)).getbbox() or (0, 0, 0, 0)
    across, down = ((np.arange(shape[1 - axis]) + 0.5) * scene.regions.size[axis] / shape[1 - axis] for axis in (0, 1))
    return np.outer((upper <= down) & (down < lower), (left <= across) & (across < right)).astype(float)


def address(image: Image.Image) -> str:
    """The picture as a ``data:`` URI."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def _share(found: Sequence[bool]) -> str:
    return f"{100 * mean(found):.0f} %"


if __name__ == "__main__":
    main()
