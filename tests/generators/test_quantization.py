# pyright: basic, reportArgumentType=false
"""Weights in 8 or 4 bits: a fraction of the memory, nearly the same picture, and LoRAs as before."""

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
from limner.generators.diffusion.quantization import NF4, quantize
from tests.generators.test_families import paint
from tests.tiny_models import FAMILIES, tiny_request, tiny_t5, write_tiny_lora
from tests.tiny_transformers import TRANSFORMERS, write_tiny_transformer

SIDE = 32
KINDS = {"int8": 0.02, "fp8": 0.05, "nf4": 0.15}
"""How far a layer's answer may be from the whole weights', relative to its size."""


def load(card: ModelCard) -> DiffusionGenerator:
    return DiffusionGenerator.load(replace(card, width=SIDE, height=SIDE), device="cpu", max_batch=4)


def painted(generator: DiffusionGenerator, **changes) -> np.ndarray:
    [left] = paint(generator, [(0, tiny_request(width=SIDE, height=SIDE, **changes))])
    assert isinstance(left, Finished), left
    return np.asarray(left.images[0], dtype=float)


def assert_near(folder: Path, kind: str) -> None:
    """Nearly the same picture, by its mean difference, from less memory."""
    card = ModelCard.read("tiny", str(folder))
    whole, small = load(card), load(replace(card, quantize=kind))
    assert sum(weights(small._pipelines.loaded)) < 0.9 * sum(weights(whole._pipelines.loaded))
    difference = np.abs(painted(whole) - painted(small))
    assert 0 < difference.mean() < 160 * KINDS[kind]
    for left in paint(small, [(tick, tiny_request(width=SIDE, height=SIDE)) for tick in (0, 1)]):
        assert isinstance(left, Finished), left
        np.testing.assert_allclose(np.asarray(left.images[0], dtype=float), painted(small), atol=2)


@pytest.mark.parametrize("family", ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)])
@pytest.mark.parametrize("kind", ["int8", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fp8", "nf4"))])
def test_nearly_the_same_picture_from_less_memory(family: str, kind: str, family_folder: Callable[[str], Path]):
    if family not in ("sd1_inpainting", "sdxl_refiner"):
        assert_near(family_folder(family), kind)


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_of_newer_families_too(family: str, tmp_path: Path):
    folder = write_tiny_transformer(family, tmp_path)
    for kind in KINDS:
        assert_near(folder, kind)


@pytest.mark.parametrize(
    "kind", ["nf4", pytest.param("int8", marks=pytest.mark.slow), pytest.param("fp8", marks=pytest.mark.slow)]
)
def test_a_lora_counts_on_weights_in_fewer_bits(kind: str, tiny: Path, tmp_path: Path):
    file = write_tiny_lora(tiny, tmp_path / "ink.safetensors", 1)
    card = replace(ModelCard.read("tiny", str(tiny)), loras={"ink": file}, quantize=kind)
    generator = load(card)
    before, with_lora, after = painted(generator), painted(generator, loras=(("ink", 1.0),)), painted(generator)
    whole = load(replace(card, quantize=""))
    expected = painted(whole, loras=(("ink", 1.0),)) - painted(whole)
    assert np.corrcoef((with_lora - before).flat, expected.flat)[0, 1] > 0.5
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "most"), KINDS.items())
def test_each_layer_computes_what_it_computed(kind: str, most: float, dtype: torch.dtype):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(4, 16, 3, padding=1, stride=2), torch.nn.Flatten(), torch.nn.Linear(256, 40, bias=False)
    ).to(dtype)
    inputs = torch.randn(8, 4, 8, 8, dtype=dtype)
    expected = layers(inputs)
    pipe = type("Pipe", (), {"components": {"unet": layers, "tokenizer": None}})()
    quantize(pipe, kind)
    kept = {parameter.element_size() for name, parameter in layers.named_parameters() if name.endswith("weight")}
    assert kept == {1}
    error = (layers(inputs) - expected).float().norm() / expected.float().norm()
    assert error < most


@pytest.mark.parametrize(("kind", "most"), KINDS.items())
def test_t5_reads_words_through_them(kind: str, most: float):
    """Its layers turn what they read into the type of their weights, unless these are whole numbers of 8 bits."""
    torch.manual_seed(0)
    encoder, tokens = tiny_t5(32).eval(), torch.arange(4, 20)[None]
    expected = encoder(tokens).last_hidden_state
    quantize(type("Pipe", (), {"components": {"text_encoder": encoder}})(), kind)
    error = (encoder(tokens).last_hidden_state - expected).norm() / expected.norm()
    assert 0 < error < 2 * most


def test_numbers_of_4_bits_are_those_of_the_paper():
    """Each of the 16 values of a block comes back as it was, and what lies between two as the nearer one."""
    layer = torch.nn.Linear(64, 1, bias=False)
    layer.weight.data = 3 * NF4.repeat(4)[None] + torch.tensor([0.0, 1e-3, -1e-3, 0.0]).repeat_interleave(16)
    layers = torch.nn.Sequential(layer)
    quantize(type("Pipe", (), {"components": {"unet": layers}})(), "nf4")
    torch.testing.assert_close(layers(torch.eye(64))[:, 0], 3 * NF4.repeat(4), atol=2e-3, rtol=0)
