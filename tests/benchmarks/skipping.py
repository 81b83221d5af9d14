"""Step skipping and partial guidance with doodle: rows saved, pictures per second, and how near the pictures are."""

# pyright: basic

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.requests import GenerationRequest
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import ROUNDS, cores, show, spread
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes

STEPS = 25
PICTURES = 48
"""Held-out prompts, painted in batches of TOGETHER."""
TOGETHER = 16
WAYS: dict[str, dict[str, Any]] = {
    "all steps": {},
    "teacache": {"skipping": SkipRule.TEACACHE},
    "magcache": {"skipping": SkipRule.MAGCACHE},
    "guided 0-0.8": {"guided": (0, 0.8)},
    "guided 0-0.6": {"guided": (0, 0.6)},
    "guided 0-0.4": {"guided": (0, 0.4)},
    "guided 0.2-0.8": {"guided": (0.2, 0.8)},
    "teacache, guided 0-0.6": {"skipping": SkipRule.TEACACHE, "guided": (0, 0.6)},
}

NEARNESS = ("SSIM (lowest)", "PSNR (lowest), dB", "agreement")
"""The columns of `nearness`."""

Pixels = NDArray[np.float64]


class Painted(NamedTuple):
    """Pictures in [0, 1], rows that the denoiser computed, and seconds."""

    pictures: list[Pixels]
    rows: int
    seconds: float


def main() -> None:
    """Print the table."""
    cores()
    prompts = held_out_prompts()
    card = ModelCard.read("doodle", str(PRETRAINED / "doodle"))
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=TOGETHER)
    requests = [request_of(card, prompt, seed) for seed, prompt in enumerate(prompts)]
    paint(generator, requests[:TOGETHER])
    rounds = [
        [paint(generator, [replace(one, **way) for one in requests]) for way in WAYS.values()] for _ in range(ROUNDS)
    ]
    reader = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    full = rounds[0][0]
    rows = [
        (
            name,
            f"{full.rows / painted.rows:.2f}",
            spread([each[0].seconds / each[number].seconds for each in rounds]),
            *nearness(painted, full, reader, prompts),
        )
        for number, name in enumerate(WAYS)
        for painted in [rounds[0][number]]
    ]
    show(
        f"doodle: {PICTURES} held-out prompts, {STEPS} steps, batches of {TOGETHER}",
        ("", "times fewer rows", "times as many pictures per second", *NEARNESS),
        rows,
        f"Medians; pictures per second of {ROUNDS} rounds in turn. Agreement: mean similarity to the prompt by the "
        "shipped image-text model.",
    )


def held_out_prompts() -> list[str]:
    """Prompts that doodle has not learnt from."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    return [one.scene.caption for one in islice(unseen_scenes(pictograms, read_seen()), PICTURES)]


def request_of(card: ModelCard, prompt: str, seed: int) -> GenerationRequest:
    """The prompt in the model's own size."""
    return GenerationRequest(
        prompt=prompt,
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=STEPS,
        guidance_scale=card.guidance_scale,
        seed=seed,
    )


def paint(generator: DiffusionGenerator, requests: Sequence[GenerationRequest]) -> Painted:
    """Paint all requests in batches."""
    rows, answers = 0, generator._denoiser.answers

    def counted(calls, pixels):
        nonlocal rows
        rows += sum(call.rows for call in calls)
        return answers(calls, pixels)

    generator._denoiser.answers = counted
    found: dict[str, Pixels] = {}
    started = time.perf_counter()
    for start in range(0, len(requests), TOGETHER):
        part = requests[start : start + TOGETHER]
        for number, request in enumerate(part, start):
            generator.admit(str(number), request)
        while len(found) < start + len(part):
            for event in generator.step():
                if isinstance(event, Finished):
                    found[event.key] = np.asarray(event.images[0], dtype=float) / 255
    seconds = time.perf_counter() - started
    generator._denoiser.answers = answers
    return Painted([found[str(number)] for number in range(len(requests))], rows, seconds)


def nearness(
    painted: Painted, full: Painted, reader: FolderImageTextModel, prompts: Sequence[str]
) -> tuple[str, str, str]:
    """How near pictures are to those of all steps with whole weights, and to their prompts."""
    return (
        lowest(map(ssim, painted.pictures, full.pictures)),
        lowest(map(psnr, painted.pictures, full.pictures)),
        f"{agreement(reader, painted.pictures, prompts):.3f}",
    )


def lowest(values: Iterable[float]) -> str:
    """The median, and the lowest value in brackets."""
    found = sorted(values)
    return f"{median(found):.3g} ({found[0]:.3g})"


def agreement(reader: FolderImageTextModel, pictures: Sequence[Pixels], prompts: Sequence[str]) -> float:
    """The mean similarity of pictures to their prompts."""
    images = [Image.fromarray(np.uint8(picture * 255 + 0.5)) for picture in pictures]
    return float(np.mean(np.diagonal(reader.score(images, list(prompts)))))


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of the grey pictures, with a Gaussian window of 1.5 pixels (Wang et al. 2004)."""
    a, b = one.mean(axis=-1), other.mean(axis=-1)
    mean_a, mean_b = gaussian_filter(a, 1.5), gaussian_filter(b, 1.5)
    vary_a, vary_b = gaussian_filter(a * a, 1.5) - mean_a**2, gaussian_filter(b * b, 1.5) - mean_b**2
    vary = gaussian_filter(a * b, 1.5) - mean_a * mean_b
    same = (2 * mean_a * mean_b + 0.01**2) * (2 * vary + 0.03**2)
    return float((same / ((mean_a**2 + mean_b**2 + 0.01**2) * (vary_a + vary_b + 0.03**2))).mean())


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(-10 * np.log10(((one - other) ** 2).mean() + 1e-10))


if __name__ == "__main__":
    main()
