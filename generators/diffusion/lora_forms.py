"""LoRA files of other forms, LoHa, LoKr and DoRA, with the weights of a LoRA that computes the same."""

# pyright: basic

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

Parts = Mapping[str, Tensor]
"""The tensors of one layer, by the ends of their names."""

FORMS = re.compile(r"\.(?:hada_w1_a|lokr_w[12](?:_a)?|dora_scale)$")
OF_UNETS = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
"""How the names of LyCORIS's and kohya's files begin for UNets and their text encoders."""
DOWN = re.compile(r"(?:_lora|\.lora|\.lora_linear_layer)\.down\.")
MAGNITUDE = ".lora_magnitude_vector."


def other_form(file: Path, pipe: Any) -> dict[str, Tensor] | None:
    """The weights of a LoHa, LoKr or DoRA file as a LoRA's, named as diffusers names them; None for any other file.

    LoHa adds the elementwise product of two matrices of low rank, LoKr a Kronecker product (LyCORIS, Yeh et al. 2023,
    https://arxiv.org/abs/2309.14859): both are matrices of a higher, still low rank. DoRA scales each output's weights
    to a length of its own (Liu et al. 2024, https://arxiv.org/abs/2402.09353).

    Raises:
        ValueError: a layer has a form that is not known, or the model has no UNet and diffusers would leave DoRA out.
        SafetensorError: it is no safetensors file.
    """
    with safe_open(file, "pt") as opened:
        names = list(opened.keys())
    if not any(map(FORMS.search, names)):
        return None
    if "unet" not in pipe.components or not all(name.startswith(OF_UNETS) for name in names):
        if any(name.endswith("dora_scale") for name in names):
            raise ValueError("a DoRA that diffusers does not read")
        return None  # diffusers reads the LoKr of Z-Image and FLUX.2, and refuses what it does not read
    tensors = load_file(file)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".")
        layers.setdefault(layer, {})[part] = tensor.float()
    found: dict[str, Tensor] = {}
    for layer, name in _diffusers_names(list(layers), pipe).items():
        parts = layers[layer]
        down, up = _factors(parts)
        module = _module(name, pipe)
        if isinstance(module, nn.Conv2d):
            down = down.reshape(len(down), -1, *module.kernel_size)
            up = up.reshape(-1, len(down), 1, 1)
        found[name], found[name.replace(".down.", ".up.")] = down.contiguous(), up.contiguous()
        if "dora_scale" in parts:
            lengths = _of_outputs(parts["dora_scale"], len(up))
            is_convolution = isinstance(module, nn.Conv2d)
            found[DOWN.sub(MAGNITUDE, name)] = lengths.view(1, -1, 1, 1) if is_convolution else lengths
    return found


def _diffusers_names(layers: list[str], pipe: Any) -> dict[str, str]:
    """How diffusers calls the first matrix of each layer: it renames files, here one whose tensors are numbered."""
    ends = ("lora_down.weight", "lora_up.weight")
    numbered = {f"{layer}.{end}": torch.full((1, 1), float(i)) for i, layer in enumerate(layers) for end in ends}
    renamed = pipe.lora_state_dict(numbered, unet_config=pipe.unet.config)[0]
    return {layers[int(number)]: name for name, number in renamed.items() if DOWN.search(name)}


def _module(name: str, pipe: Any) -> nn.Module | None:
    """The layer of the UNet with that name; None for one of a text encoder, all of which are linear."""
    part, _, path = DOWN.split(name)[0].partition(".")
    path = path.replace(".processor.", ".").replace(".to_out", ".to_out.0")
    if part != "unet":
        return None
    module = pipe.unet.get_submodule(path)
    return getattr(module, "base_layer", module)  # of one with another LoRA


def _factors(parts: Parts) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is what the layer adds to its weights, the first applied first."""
    if "hada_w1_a" in parts and not parts.keys() & {"hada_t1", "hada_t2"}:
        return _of_loha(parts)
    if any(name.startswith("lokr_w1") for name in parts) and "lokr_t2" not in parts:
        return _of_lokr(parts)
    if "lora_down.weight" in parts and "lora_mid.weight" not in parts:
        scale = _scale(parts, "lora_down.weight")
        return parts["lora_down.weight"].flatten(1), parts["lora_up.weight"].flatten(1) * scale
    raise ValueError(f"a layer of an unknown form: {sorted(parts)}")


def _of_loha(parts: Parts) -> tuple[Tensor, Tensor]:
    up_1, down_1, up_2, down_2 = (parts[f"hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    scale = _scale(parts, "hada_w1_b")
    rank = len(down_1) * len(down_2)
    if rank > min(len(up_1), down_1.shape[1]):
        return _whole((up_1 @ down_1) * (up_2 @ down_2) * scale)
    up = torch.einsum("oi,oj->oij", up_1, up_2).flatten(1) * scale
    return torch.einsum("in,jn->ijn", down_1, down_2).flatten(0, 1), up


def _of_lokr(parts: Parts) -> tuple[Tensor, Tensor]:
    is_split = {name: f"lokr_{name}_a" in parts for name in ("w1", "w2")}
    first = parts["lokr_w1_a"] @ parts["lokr_w1_b"] if is_split["w1"] else parts["lokr_w1"]
    scale = next((_scale(parts, f"lokr_{name}_b") for name in ("w2", "w1") if is_split[name]), 1.0)
    first = first.flatten(1) * scale
    if not is_split["w2"]:
        return _whole(torch.kron(first, parts["lokr_w2"].flatten(1)))
    down, up = parts["lokr_w2_b"].flatten(1), parts["lokr_w2_a"]
    return torch.kron(torch.eye(first.shape[1]), down), torch.kron(first, up)


def _whole(added: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as the product of itself and the smaller identity."""
    outputs, inputs = added.shape
    return (torch.eye(inputs), added) if inputs <= outputs else (added, torch.eye(outputs))


def _scale(parts: Parts, of_rank: str) -> float:
    """What the layer's numbers are multiplied with: its alpha, 1 for none, divided by its rank."""
    rank = len(parts[of_rank])
    return float(parts["alpha"]) / rank if "alpha" in parts else 1.0


def _of_outputs(scale: Tensor, outputs: int) -> Tensor:
    if scale.numel() != outputs:
        raise ValueError("a DoRA that scales inputs")
    return scale.flatten()
