"""What a frame of an animation is painted from: mixtures of the stock pipeline's random numbers, and of its words."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from limner.generators.animation import Noises, blended
from limner.generators.errors import BadRequest
from limner.generators.sentences import sentence

UNEQUAL = sentence("The prompts of this animation are of different lengths for the model; make the long ones shorter.")


class BlendedNoise(TorchFunctionMode):
    """Inside this block each draw from a generator is a mixture of what several seeds would give.

    So the noise to start from and that of later steps (ancestral samplers) are interpolated alike, whatever
    the pipeline.
    """

    def __init__(self, noises: Noises) -> None:
        super().__init__()
        self._weights = [weight for _, weight in noises]
        self._generators = [torch.Generator().manual_seed(seed) for seed, _ in noises]

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is not torch.randn or given.get("generator") is None:
            return func(*args, **given)
        draws = [func(*args, **{**given, "generator": generator}) for generator in self._generators]
        return blended(draws, self._weights)


def between(words: dict[str, Any], others: dict[str, Any], share: float) -> dict[str, Any]:
    """A denoiser's words between two prompts' (`flight.WORDS`), linearly; raises BadRequest if they do not fit."""
    return {name: _between(value, others[name], share) for name, value in words.items()}


def _between(value: Any, other: Any, share: float) -> Any:
    if isinstance(value, dict):
        return between(value, other, share)
    if not isinstance(value, Tensor):
        return value
    if value.shape != other.shape:
        raise BadRequest(UNEQUAL)
    return torch.lerp(value, other, share)
