"""The small model that ships: each digit that is asked for can be recognised."""

# pyright: basic
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.training.data.collect import DIGIT_NAMES, collect, read_digits
from tests.tiny_models import tiny_request


def known_digits() -> tuple[np.ndarray, np.ndarray]:
    """Real pictures (8x8, flattened) and their digits."""
    raws = list(read_digits())
    digits = [
        next(n for n, name in enumerate(DIGIT_NAMES) if name in raw.texts[0] or str(n) in raw.texts[0]) for raw in raws
    ]
    return np.stack([np.asarray(raw.source, float).ravel() for raw in raws]), np.array(digits)


@pytest.fixture(scope="module")
def examples() -> tuple[np.ndarray, np.ndarray]:
    """See `known_digits`."""
    return known_digits()


def recognise(image: Image.Image, examples: tuple[np.ndarray, np.ndarray]) -> int:
    """The digit that most of the five nearest examples show."""
    pixels = np.asarray(image.convert("L").resize((8, 8), Image.Resampling.BOX), float).ravel()
    nearest = ((examples[0] - pixels) ** 2).sum(1).argsort()[:5]
    return int(np.bincount(examples[1][nearest]).argmax())


@pytest.mark.parametrize("name", ["digits-gan", "digits-vae"])
def test_the_digit_that_is_asked_for_is_painted(name: str, examples: tuple[np.ndarray, np.ndarray]):
    folder = PRETRAINED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    card = ModelCard.read(name, str(folder))
    executor = Executor({name: card}, device="cpu", max_batch=40)
    for digit in range(10):
        words = f"the digit {DIGIT_NAMES[digit]}" if digit % 2 else f"the digit {digit}"
        more = {"model": name, "width": card.width, "height": card.height, "guidance_scale": card.guidance_scale}
        executor.admit(str(digit), tiny_request(prompt=words, num_images_per_prompt=4, **more))
    events = {event.key: event for event in executor.step() if isinstance(event, Finished)}
    executor.close()
    right = [recognise(image, examples) == int(key) for key, event in events.items() for image in event.images]
    assert len(right) == 40
    assert np.mean(right) >= 0.8


@pytest.mark.slow
def test_digits_are_collected_with_captions_of_many_forms(tmp_path: Path):
    report = collect(tmp_path / "digits", tmp_path / "out", side=16, seed=Random(1).randrange(9))
    assert report.kept > 1_000
    assert len({raw.texts[0] for raw in read_digits()}) > 50
