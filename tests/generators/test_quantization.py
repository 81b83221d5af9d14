# pyright: basic, reportArgumentType=false
"""Weights in 8 bits: a fraction of the memory, nearly the same picture, and LoRAs as before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.memory import weights
from limner.generators.diffusion.quantization import quantize
from tests.generators.test_families import paint
from tests.tiny_models import FAMILIES, tiny_request, write_tiny_lora
from tests.tiny_transformers import TRANSFORMERS, write_tiny_transformer

SIDE = 32


def load(card: ModelCard) -> DiffusionGenerator:
    return DiffusionGenerator.load(replace(card, width=SIDE, height=SIDE), device="cpu", max_batch=4)


def painted(generator: DiffusionGenerator, **changes) -> np.ndarray:
    [left] = paint(generator, [(0, tiny_request(width=SIDE, height=SIDE, **changes))])
    assert isinstance(left, Finished), left
    return np.asarray(left.images[0], dtype=float)


def assert_near(folder: Path) -> None:
    """Nearly the same picture, by its mean difference, from less memory."""
    card = ModelCard.read("tiny", str(folder))
    whole, small = load(card), load(replace(card, quantize="int8"))
    assert sum(weights(small._pipelines.loaded)) < 0.9 * sum(weights(whole._pipelines.loaded))
    difference = np.abs(painted(whole) - painted(small))
    assert 0 < difference.mean() < 4
    for left in paint(small, [(tick, tiny_request(width=SIDE, height=SIDE)) for tick in (0, 1)]):
        assert isinstance(left, Finished), left
        np.testing.assert_allclose(np.asarray(left.images[0], dtype=float), painted(small), atol=2)


@pytest.mark.parametrize("family", ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)])
def test_nearly_the_same_picture_from_less_memory(family: str, family_folder: Callable[[str], Path]):
    if family not in ("sd1_inpainting", "sdxl_refiner"):
        assert_near(family_folder(family))


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_of_newer_families_too(family: str, tmp_path: Path):
    assert_near(write_tiny_transformer(family, tmp_path))


def test_a_lora_counts_on_weights_in_8_bits(tiny: Path, tmp_path: Path):
    file = write_tiny_lora(tiny, tmp_path / "ink.safetensors", 1)
    card = replace(ModelCard.read("tiny", str(tiny)), loras={"ink": file}, quantize="int8")
    generator = load(card)
    before, with_lora, after = painted(generator), painted(generator, loras=(("ink", 1.0),)), painted(generator)
    whole = painted(load(replace(card, quantize="")), loras=(("ink", 1.0),))
    assert np.abs(with_lora - before).mean() > 3 * np.abs(with_lora - whole).mean()
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_layer_computes_what_it_computed(dtype: torch.dtype):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, padding=1, stride=2), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 5, bias=False)
    ).to(dtype)
    inputs = torch.randn(2, 4, 8, 8, dtype=dtype)
    expected = layers(inputs)
    pipe = type("Pipe", (), {"components": {"unet": layers, "tokenizer": None}})()
    quantize(pipe)
    assert {parameter.dtype for name, parameter in layers.named_parameters() if name.endswith("weight")} == {torch.int8}
    error = (layers(inputs) - expected).float().norm() / expected.float().norm()
    assert error < 0.02
