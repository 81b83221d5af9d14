# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""LoHa, LoKr and DoRA files, as LyCORIS and kohya's trainer write them, change weights as their papers say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.lora_forms import other_form
from limner.generators.errors import BadRequest
from tests.generators.test_families import paint
from tests.tiny_models import SIDE, tiny_request

_BLOCK = "transformer_blocks.0"
LAYERS = {
    f"unet.down_blocks.1.attentions.0.{_BLOCK}.attn2.to_k": "",
    f"unet.down_blocks.1.attentions.0.{_BLOCK}.attn1.to_out.0": "",
    "unet.down_blocks.1.attentions.0.proj_in": "",
    "unet.down_blocks.0.resnets.0.conv1": "",
    "text_encoder.encoder.layers.0.self_attn.q_proj": "te_text_model",
    "text_encoder.encoder.layers.0.self_attn.out_proj": "te_text_model",
}
"""Layers of the tiny pipeline, linear ones and convolutions, and how files call a part if not as diffusers does."""

Form = tuple[dict[str, Tensor], Tensor]
"""The tensors of a layer, and what they add to its weights."""


def loha(weight: Tensor) -> Form:
    up, down = (lambda: torch.randn(len(weight), 2)), (lambda: torch.randn(2, weight[0].numel()))
    tensors = {"hada_w1_a": up(), "hada_w1_b": down(), "hada_w2_a": up(), "hada_w2_b": down()}
    first, second = (tensors[f"hada_w{i}_a"] @ tensors[f"hada_w{i}_b"] for i in (1, 2))
    return tensors | {"alpha": torch.tensor(1.0)}, first * second / 2


def loha_of_high_rank(weight: Tensor) -> Form:
    outputs, inputs = len(weight), weight[0].numel()
    tensors = {f"hada_w{i}_a": torch.randn(outputs, 6) for i in (1, 2)}
    tensors |= {f"hada_w{i}_b": torch.randn(6, inputs) for i in (1, 2)}
    first, second = (tensors[f"hada_w{i}_a"] @ tensors[f"hada_w{i}_b"] for i in (1, 2))
    return tensors | {"alpha": torch.tensor(1.0)}, first * second / 6


def lokr(weight: Tensor) -> Form:
    first, up, down = torch.randn(2, 2), torch.randn(len(weight) // 2, 2), torch.randn(2, weight[0].numel() // 2)
    tensors = {"lokr_w1": first, "lokr_w2_a": up, "lokr_w2_b": down, "alpha": torch.tensor(1.0)}
    return tensors, torch.kron(first, up @ down) / 2


def lokr_of_whole_factors(weight: Tensor) -> Form:
    """An alpha counts only where a factor is a product."""
    first, second = torch.randn(2, 2), torch.randn(len(weight) // 2, weight.shape[1] // 2, *weight.shape[2:])
    tensors = {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(1.0)}
    return tensors, torch.kron(first, second.flatten(1))


def dora(weight: Tensor) -> Form:
    down, up = torch.randn(2, *weight.shape[1:]), torch.randn(len(weight), 2, *[1] * (weight.ndim - 2))
    lengths = torch.rand(len(weight), 1) + 0.5
    changed = weight.flatten(1) + up.flatten(1) @ down.flatten(1) / 2
    tensors = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(1.0), "dora_scale": lengths}
    return tensors, lengths * changed / changed.norm(dim=1, keepdim=True) - weight.flatten(1)


FORMS: dict[str, Callable[[Tensor], Form]] = {
    form.__name__: form for form in (loha, loha_of_high_rank, lokr, lokr_of_whole_factors, dora)
}


@pytest.fixture(scope="module")
def pipe(tiny: Path) -> DiffusionPipeline:
    """A stock pipeline whose weights are changed by hand."""
    pipe = DiffusionPipeline.from_pretrained(tiny)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def weight_of(pipe: Any, name: str) -> Tensor:
    part, _, path = name.partition(".")
    return pipe.components[part].get_submodule(path).weight


def write(form: str, pipe: Any, file: Path) -> dict[str, Tensor]:
    """Write a file of that form; what it adds to each layer."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    added: dict[str, Tensor] = {}
    for name, begin in LAYERS.items():
        part, _, path = name.partition(".")
        weight = weight_of(pipe, name).data
        made, change = FORMS[form](weight)
        called = f"lora_{begin or part}_{path.replace('.', '_')}"
        tensors |= {f"{called}.{end}": tensor.contiguous() for end, tensor in made.items()}
        added[name] = change.view(weight.shape)
    save_file(tensors, file)
    return added


def expected(pipe: Any, added: dict[str, Tensor]) -> np.ndarray:
    """The stock picture with changed weights."""
    weights = {name: weight_of(pipe, name) for name in added}
    for name, weight in weights.items():
        weight.data += added[name]
    seed = torch.Generator().manual_seed(7)
    picture = pipe("a red cat", SIDE, SIDE, 3, guidance_scale=5.0, generator=seed).images[0]
    for name, weight in weights.items():
        weight.data -= added[name]
    return np.asarray(picture, dtype=int)


def test_each_form_changes_the_weights_as_its_paper_says(tiny: Path, pipe: DiffusionPipeline, tmp_path: Path):
    files = {form: tmp_path / f"{form}.safetensors" for form in FORMS}
    added = {form: write(form, pipe, file) for form, file in files.items()}
    card = ModelCard.read("tiny", str(tiny), loras={form: str(file) for form, file in files.items()})
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=8)
    asked = [tiny_request(loras=((form, 1.0),)) for form in FORMS]
    plain = expected(pipe, {})
    for form, left in zip(FORMS, paint(generator, [(0, request) for request in asked]), strict=True):
        assert isinstance(left, Finished), (form, left)
        picture, wanted = np.asarray(left.images[0], dtype=int), expected(pipe, added[form])
        assert np.abs(picture - wanted).max() <= 2, form
        assert np.abs(plain - wanted).max() > 20, form
    both = {name: added["loha"][name] / 2 + added["lokr"][name] / 4 for name in LAYERS}
    [left] = paint(generator, [(0, tiny_request(loras=(("loha", 0.5), ("lokr", 0.25))))])
    assert isinstance(left, Finished)
    assert np.abs(np.asarray(left.images[0], dtype=int) - expected(pipe, both)).max() <= 2


@pytest.mark.parametrize(
    "tensors",
    [
        {"hada_w1_a": (8, 2), "hada_w1_b": (2, 4), "hada_w2_a": (8, 2), "hada_w2_b": (2, 4), "hada_t1": (2, 2, 3, 3)},
        {"lora_down.weight": (2, 16), "lora_up.weight": (8, 2), "dora_scale": (1, 16)},
        {"lokr_w1": (3, 3), "lokr_w2": (5, 5)},
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    tensors: dict[str, tuple[int, ...]], tiny: Path, tmp_path: Path
):
    """A layer of three matrices, lengths of inputs, and a layer of another model."""
    file, layer = tmp_path / "odd.safetensors", "lora_unet_down_blocks_0_resnets_0_conv1"
    save_file({f"{layer}.{end}": torch.ones(shape) for end, shape in tensors.items()}, file)
    card = ModelCard.read("tiny", str(tiny), loras={"odd": str(file)})
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=1)
    with pytest.raises(BadRequest, match=r"^This LoRA cannot be used with this model; ask again without it\.$"):
        generator.admit("one", tiny_request(loras=(("odd", 1.0),)))


def test_a_dora_for_a_transformer_is_not_read_without_its_lengths(tmp_path: Path):
    file = tmp_path / "dora.safetensors"
    names = ("lora_down.weight", "lora_up.weight", "dora_scale")
    save_file({f"lora_unet_double_blocks_0_img_attn_proj.{name}": torch.ones(1, 1) for name in names}, file)
    transformer = type("Pipe", (), {"components": {"transformer": None}})()
    with pytest.raises(ValueError, match="DoRA"):
        other_form(file, transformer)
