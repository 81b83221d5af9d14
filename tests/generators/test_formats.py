# pyright: basic, reportPrivateUsage=false
"""`dtype = "fastest"`: the number format and memory layout that paint fastest are found once, and paint the picture."""

from pathlib import Path

import numpy as np
import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.formats import Format, fastest_format
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import OutOfMemory
from limner.generators.measured import Measured
from tests.generators.test_diffusion import stock_images
from tests.generators.test_families import paint
from tests.tiny_models import tiny_request

CARD = ModelCard(name="m", source="m")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float32": 1.0, "float32 channels-last": 0.9, "bfloat16": 0.5, "bfloat16 channels-last": 0.6}, "bfloat16"),
        ({"float32": 1.0, "float32 channels-last": 0.8, "bfloat16": 3.0}, "float32 channels-last"),
        ({"float32": 1.0, "float32 channels-last": 0.96, "bfloat16": 0.97, "bfloat16 channels-last": 2.0}, "float32"),
        ({"bfloat16": 0.5}, "float32"),
    ],
)
def test_the_fastest_format_is_taken_if_it_saves_enough_and_timed_once(seconds: dict[str, float], expected: str):
    """A format that is missing here cannot be painted in; where the usual one cannot, nothing is compared."""
    measured, timed = Measured(), list[str]()

    def pace(one: Format) -> float:
        timed.append(one.name)
        if one.name not in seconds:
            raise OutOfMemory
        return seconds[one.name]

    assert [fastest_format(CARD, CPU, measured, pace).name for _ in range(2)] == [expected] * 2
    assert timed == ["float32", "float32 channels-last", "bfloat16", "bfloat16 channels-last"]


def test_a_real_model_is_timed_and_painted_in_each_format(tiny: Path, tmp_path: Path):
    """The first and the last one: formats of float32 paint the stock pipeline's picture, and all of them a picture."""
    card, file = ModelCard.read("tiny", str(tiny)), tmp_path / "measured.json"
    DiffusionGenerator.load(card, device="cpu", dtype="fastest", measured=Measured(file)).close()
    [(key, kept)] = Measured(file).all("formats").items()
    assert len(kept["seconds"]) == 4
    stock = stock_images(tiny, tiny_request())[0]
    for name in [*kept["seconds"]][::3]:
        Measured(file).put("formats", key, {**kept, "chosen": name})
        generator = DiffusionGenerator.load(card, device="cpu", dtype="fastest", measured=Measured(file))
        unet = generator._pipelines.loaded.unet
        assert str(unet.dtype) == f"torch.{name.split()[0]}"
        assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last) == ("channels-last" in name)
        [left] = paint(generator, [(0, tiny_request())])
        assert isinstance(left, Finished), left
        if name.startswith("float32"):
            assert np.abs(np.asarray(left.images[0], int) - stock).max() <= 2
