"""Animations: frames a second beside single pictures, and how evenly neighbouring frames differ."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from limner.bot.settings import Settings
from limner.bot.settings.model_sources import PRETRAINED
from limner.bot.worker.process import look_by
from limner.generators.animation import Animation
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import ROUNDS, show, spread

FRAMES, MANY, TIMED = 16, 32, 8
WORDS = "a red fox in the snow"
WALKS = {
    "pulse around one picture": (WORDS, (3,)),
    "walk through two pictures of the same words": (WORDS, (3, 4)),
    "walk through three pictures of the same words": (WORDS, (3, 4, 5)),
    "walk through three colours": (f"{WORDS} | a yellow fox in the snow | a blue fox in the snow", (3, 3, 3)),
    "walk through two things": (f"{WORDS} | a blue boat on the sea", (3, 3)),
    "walk through three scenes": (
        "a green apple on a table | a purple umbrella in the rain | two yellow birds",
        (11, 12, 13),
    ),
    "walk through four drawings": (
        "a red balloon | a red balloon above a tree | a red heart | a green tree",
        (51,) * 4,
    ),
}


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)  # so that processor seconds are seconds of work
    card = Settings(data=Path("data")).default_card
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    executor = Executor({card.name: card}, device="cpu", max_batch=4, look=look_by(lambda: model))
    single = _request(card)
    _painted(executor, [single])
    times: dict[str, list[float]] = {"pictures": [], "frames": []}
    for turn in range(ROUNDS):
        seeds = range(turn * TIMED, (turn + 1) * TIMED)
        times["pictures"].append(_seconds(executor, [replace(single, seed=seed) for seed in seeds]))
        walk = replace(single, seed=seeds[0], animation=Animation(TIMED, swings=True, seeds=(seeds[0], seeds[1])))
        times["frames"].append(_seconds(executor, [walk]))
    ratio = np.median(times["pictures"]) / np.median(times["frames"])
    show(
        f"{TIMED} frames beside {TIMED} single pictures, processor seconds",
        ("what", "processor seconds"),
        [(f"{TIMED} {name}", spread(seconds, "{:.1f}")) for name, seconds in times.items()],
        f"{ratio:.2f} frames for each single picture in the same time; in turns, {ROUNDS} rounds.",
    )
    rows = [
        (name, str(frames), *_smoothness(model, executor, _animated(card, frames, *walk)))
        for name, walk in WALKS.items()
        for frames in (FRAMES, MANY)
    ]
    show(
        "The distance of neighbouring frames in the image-text model's features",
        ("animation", "frames", "median", "largest", "largest for the median"),
        rows,
        "Euclidean, of vectors of length 1; of a loop also from its end to its beginning.",
    )


def _request(card: ModelCard) -> GenerationRequest:
    return GenerationRequest(
        prompt=WORDS,
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=card.num_inference_steps,
        guidance_scale=card.guidance_scale,
        seed=0,
    )


def _animated(card: ModelCard, frames: int, prompt: str, seeds: tuple[int, ...]) -> GenerationRequest:
    """A pulse, a walk there and back through two keys, or a loop through more."""
    animation = Animation(frames, len(seeds) == 2, seeds)
    return replace(_request(card), prompt=prompt, seed=seeds[0], animation=animation)


def _smoothness(model: FolderImageTextModel, executor: Executor, request: GenerationRequest) -> tuple[str, str, str]:
    features = model.features(_painted(executor, [request]))
    ways = [float(np.linalg.norm(one - other)) for one, other in pairwise(features)]
    is_loop = request.animation and not request.animation.swings
    ways += [float(np.linalg.norm(features[-1] - features[0]))] if is_loop else []
    middle = float(np.median(ways))
    return f"{middle:.3f}", f"{max(ways):.3f}", f"{max(ways) / middle:.1f}"


def _seconds(executor: Executor, requests: list[GenerationRequest]) -> float:
    started = time.process_time()
    _painted(executor, requests)
    return time.process_time() - started


def _painted(executor: Executor, requests: list[GenerationRequest]) -> list[Image.Image]:
    """The pictures of requests, which enter as there is room for them."""
    waiting = {str(number): request for number, request in enumerate(requests)}
    images: list[Image.Image] = []
    while waiting or executor.in_flight:
        for key, request in [*waiting.items()]:
            if not executor.in_flight or executor.capacity(request.model) >= request.pixels:
                executor.admit(key, waiting.pop(key))
        images += [image for event in executor.step() if isinstance(event, Finished) for image in event.images]
    return images


if __name__ == "__main__":
    main()
