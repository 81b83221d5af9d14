"""Weights in 8 or 4 bits: a quarter or an eighth of the memory of float32, half or a quarter of half precision's."""

# pyright: basic

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

WHOLE = ("vae", "image_encoder", "safety_checker")
"""Parts whose weights stay as they are: they are small, and errors of the autoencoder are seen at once."""
FP8 = torch.float8_e4m3fn
"""4 bits for the exponent and 3 for the fraction, as checkpoints in fp8 have them."""
BLOCK = 64
"""Weights that share a scale in 4 bits."""
NF4 = torch.tensor(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
        *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
        *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
        *(0.7229568362236023, 1.0),
    ]
)
"""The 16 values of NormalFloat, which normally distributed weights take equally often (QLoRA, Dettmers et al. 2023,
appendix E, https://arxiv.org/abs/2305.14314)."""
GRID = 4096
"""Steps from -1 to 1 in which the nearest of these values is looked up: quicker than comparing with all of them."""
NEAREST = torch.bucketize(torch.linspace(-1, 1, GRID), (NF4[1:] + NF4[:-1]) / 2).to(torch.uint8)
PAIRS = torch.stack([NF4.repeat_interleave(16), NF4.repeat(16)], dim=1)
"""The two values that a byte stands for."""


def quantize(pipe: DiffusionPipeline, kind: str) -> None:
    """Keep the weights of a pipeline's denoiser and text encoders in fewer bits.

    ``int8`` keeps whole numbers with a scale for each output, ``fp8`` floating-point numbers with one, ``nf4``
    NormalFloat's numbers of 4 bits with a scale for each `BLOCK` of them. They are multiplied out again in each call
    (weight-only quantization, symmetric, by rounding to the nearest), in the precision of what the layer reads.
    Normalisation layers, biases and embeddings stay as they are.
    """
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module) and name not in WHOLE:
            _replace_layers(part, kind)


class _SmallLinear(nn.Linear):
    """A linear layer that holds its weights in fewer bits."""

    def __init__(self, whole: nn.Linear, kind: str) -> None:
        nn.Module.__init__(self)
        _take_over(self, whole, kind)

    def forward(self, read: Tensor) -> Tensor:
        return functional.linear(read, _whole(self, read), self.bias)


class _SmallConv2d(nn.Conv2d):
    """A convolution that holds its weights in fewer bits."""

    def __init__(self, whole: nn.Conv2d, kind: str) -> None:
        nn.Module.__init__(self)
        _take_over(self, whole, kind)

    def forward(self, read: Tensor) -> Tensor:
        return self._conv_forward(read, _whole(self, read), self.bias)


_LAYERS = {nn.Linear: _SmallLinear, nn.Conv2d: _SmallConv2d}


def _replace_layers(module: nn.Module, kind: str) -> None:
    for name, layer in module.named_children():
        small = _LAYERS.get(type(layer))
        if small:
            setattr(module, name, small(layer, kind))
        else:
            _replace_layers(layer, kind)


def _take_over(layer: Any, whole: Any, kind: str) -> None:
    """Give a layer everything of another one, its weights as whole numbers and their scales."""
    kept = {"_parameters": dict(whole._parameters), "shape": whole.weight.shape, "kind": kind}
    vars(layer).update({**vars(whole), **kept})
    weight = whole.weight.data.flatten(1).float()
    numbers, scale = {"int8": _in_8_bits, "fp8": _in_floats, "nf4": _in_4_bits}[kind](weight)
    # T5 turns what it reads into the type of its weights, and a model's type is that of its floating-point weights.
    layer.weight = nn.Parameter(numbers.view(torch.int8), requires_grad=False)
    layer.scale = nn.Parameter(scale.to(whole.weight.dtype), requires_grad=False)


def _in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers from -127 to 127, and a scale for each output."""
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


def _in_floats(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Floating-point numbers of 8 bits up to their largest, and a scale for each output."""
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / torch.finfo(FP8).max
    return (weight / scale).to(FP8), scale


def _in_4_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Two numbers of `NF4` in each byte, and a scale for each block of an output's weights, the last one filled up."""
    blocks = functional.pad(weight, (0, -weight.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    scale = blocks.abs().amax(2, keepdim=True).clamp(min=1e-12)
    places = ((blocks / scale + 1) * ((GRID - 1) / 2)).round().nan_to_num()
    numbers = NEAREST.to(weight.device)[places.int()]
    return numbers[..., ::2] * 16 + numbers[..., 1::2], scale


def _whole(layer: Any, read: Tensor) -> Tensor:
    scale = layer.scale.to(read.dtype)
    if layer.kind != "nf4":
        numbers = layer.weight.view(FP8) if layer.kind == "fp8" else layer.weight
        return (numbers.to(read.dtype) * scale).view(layer.shape)
    values = functional.embedding(layer.weight.view(torch.uint8).int(), PAIRS.to(read)).flatten(2)
    weights = (values * scale).flatten(1)
    return weights[:, : layer.shape[1:].numel()].reshape(layer.shape)
