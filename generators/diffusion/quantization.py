"""Weights in 8 bits: a quarter of the memory of float32, half of that of half precision."""

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


def quantize(pipe: DiffusionPipeline) -> None:
    """Keep the weights of a pipeline's denoiser and text encoders as 8-bit integers, with a scale for each output.

    They are multiplied out again in each call (weight-only quantization, symmetric, by rounding to the nearest), in the
    precision of what the layer reads. Normalisation layers, biases and embeddings stay as they are.
    """
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module) and name not in WHOLE:
            _replace_layers(part)


class _Int8Linear(nn.Linear):
    """A linear layer that holds its weights in 8 bits."""

    def __init__(self, whole: nn.Linear) -> None:
        nn.Module.__init__(self)
        _take_over(self, whole)

    def forward(self, read: Tensor) -> Tensor:
        return functional.linear(read, _whole(self, read), self.bias)


class _Int8Conv2d(nn.Conv2d):
    """A convolution that holds its weights in 8 bits."""

    def __init__(self, whole: nn.Conv2d) -> None:
        nn.Module.__init__(self)
        _take_over(self, whole)

    def forward(self, read: Tensor) -> Tensor:
        return self._conv_forward(read, _whole(self, read), self.bias)


_KINDS = {nn.Linear: _Int8Linear, nn.Conv2d: _Int8Conv2d}


def _replace_layers(module: nn.Module) -> None:
    for name, layer in module.named_children():
        kind = _KINDS.get(type(layer))
        if kind:
            setattr(module, name, kind(layer))
        else:
            _replace_layers(layer)


def _take_over(layer: Any, whole: Any) -> None:
    """Give a layer everything of another one, its weights as integers from -127 to 127 and a scale for each output."""
    vars(layer).update({**vars(whole), "_parameters": dict(whole._parameters)})
    weight = whole.weight.data
    scale = weight.flatten(1).float().abs().amax(1).clamp(min=1e-12).view(-1, *[1] * (weight.ndim - 1)) / 127
    layer.weight = nn.Parameter((weight.float() / scale).round().to(torch.int8), requires_grad=False)
    layer.scale = nn.Parameter(scale.to(weight.dtype), requires_grad=False)


def _whole(layer: Any, read: Tensor) -> Tensor:
    return layer.weight.to(read.dtype) * layer.scale.to(read.dtype)
