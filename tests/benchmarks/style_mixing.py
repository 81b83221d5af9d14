"""What truncation and style mixing do to the pictures of the shipped GAN of digits."""

# pyright: basic

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image

from limner.bot.settings.model_sources import PRETRAINED, model_source
from limner.generators.cards.model_card import ModelCard
from limner.generators.style_mix import StyleMix
from limner.generators.training.data.collect import DIGIT_NAMES
from limner.generators.training.evaluation.measures import estimate, frechet_distance, share
from limner.generators.training.evaluation.painting import Painting
from tests.benchmarks.figures import show
from tests.generators.test_digits import known_digits, recognise

EACH = 40
"""Pictures of each digit."""
GUIDANCES = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
"""Guidance 2 is a truncation of 0.5, and so on."""
COARSE = 4
"""Width and height of what counts as coarse in a picture."""


def main() -> None:
    """Print the tables, of the model in the folder that is named as the only argument, or else of the shipped one."""
    source = sys.argv[1] if len(sys.argv) == 2 else str(PRETRAINED / "digits-gan")
    painting = Painting(ModelCard.read("digits", model_source(source)), device="cpu")
    examples = known_digits()
    show(
        f"Truncation: {10 * EACH} pictures of digits, and {len(examples[0])} real ones",
        ("guidance (truncation)", "FID in pixels of 8x8", "spread of a pixel", "the digit that was asked for"),
        [_truncated(painting, examples, guidance) for guidance in GUIDANCES],
        "With 95 % intervals. The spread is the standard deviation among pictures of the same digit, in 255 levels, "
        "mean over pixels and digits; a picture shows the digit that most of the five nearest real ones do.",
    )
    layers = range(1, painting.card.style_layers)
    show(
        f"Mixing: {10 * EACH} pictures, fine layers from another seed or from another digit's words",
        ("layers of its own", "changed by a seed: coarse", "fine", "its own digit", "the other digit"),
        [_mixed(painting, examples, layer) for layer in layers],
        f"Changes are mean absolute differences, as shares of those to the picture of the other seed alone: coarse in "
        f"means of {COARSE}x{COARSE} parts, fine in what these leave over. Digits as above, from other words.",
    )
    painting.close()


def _truncated(
    painting: Painting, examples: tuple[np.ndarray, np.ndarray], guidance: float
) -> tuple[str, str, str, str]:
    asked = [replace(painting.request(_words(digit), seed), guidance_scale=guidance) for digit, seed in _digits()]
    images = [finished.images[0] for finished in painting.carry_out(asked)]
    pixels = np.stack([_pixels(image, 8) for image in images])
    distance = frechet_distance(examples[0] / 255, pixels / 255)
    whole = np.stack([_pixels(image, 16) for image in images]).reshape(10, EACH, -1)
    right = share(
        [recognise(image, examples) == digit for image, (digit, _seed) in zip(images, _digits(), strict=True)]
    )
    reach = f"{distance.value:.2f} ({distance.low:.2f} to {distance.high:.2f})"
    return f"{guidance:g} ({1 / guidance:.2f})", reach, f"{whole.std(1).mean():.1f}", _share(right)


def _mixed(painting: Painting, examples: tuple[np.ndarray, np.ndarray], layer: int) -> tuple[str, ...]:
    own = [painting.request(_words(digit), seed) for digit, seed in _digits()]
    far = [replace(request, seed=request.seed + 10_000) for request in own]
    by_seed = [replace(request, mix=StyleMix(layer, seed=other.seed)) for request, other in zip(own, far, strict=True)]
    others = [(digit + Random(seed).randint(1, 9)) % 10 for digit, seed in _digits()]
    by_words = [
        replace(request, mix=StyleMix(layer, prompt=_words(other))) for request, other in zip(own, others, strict=True)
    ]
    before, after, mixed, said = (
        [finished.images[0] for finished in painting.carry_out(asked)] for asked in (own, far, by_seed, by_words)
    )
    changes = [_share_of(part(before), part(mixed), part(after)) for part in (_coarse, _fine)]
    found = [recognise(image, examples) for image in said]
    kept = share([one == digit for one, (digit, _seed) in zip(found, _digits(), strict=True)])
    turned = share([one == other for one, other in zip(found, others, strict=True)])
    return str(layer), *changes, _share(kept), _share(turned)


def _share_of(before: np.ndarray, mixed: np.ndarray, after: np.ndarray) -> str:
    some, all_ = np.abs(mixed - before).mean(1), np.abs(after - before).mean(1)
    figure = estimate(lambda rows: float(some[rows].sum() / all_[rows].sum()), len(some))
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _coarse(images: Sequence[Image.Image]) -> np.ndarray:
    return np.stack([_pixels(image, COARSE) for image in images])


def _fine(images: Sequence[Image.Image]) -> np.ndarray:
    whole = np.stack([_pixels(image, 16) for image in images]).reshape(len(images), 16, 16)
    times = 16 // COARSE
    coarse = _coarse(images).reshape(len(images), COARSE, COARSE).repeat(times, 1).repeat(times, 2)
    return (whole - coarse).reshape(len(images), -1)


def _pixels(image: Image.Image, side: int) -> np.ndarray:
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX), float).ravel()


def _digits() -> list[tuple[int, int]]:
    """Each digit as often, with the seed of each picture."""
    return [(digit, digit * EACH + number) for digit in range(10) for number in range(EACH)]


def _words(digit: int) -> str:
    return f"the digit {DIGIT_NAMES[digit]}"


def _share(figure: tuple[float, float, float, int]) -> str:
    value, low, high, _samples = figure
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
