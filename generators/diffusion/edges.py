"""Pictures as tiles: opposite edges continue each other, because convolutions read across them."""

# pyright: basic

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


class Edges:
    """The edges that the convolutions of one pipeline read across; the same for all samples of a call."""

    def __init__(self, pipe: DiffusionPipeline) -> None:
        models = (getattr(pipe, name, None) for name in ("unet", "vae"))
        parts = [part for model in models if model is not None for part in model.modules()]
        self._usual = {part: part.padding_mode for part in parts if isinstance(part, nn.Conv2d)}
        self._are_joined = False

    def join(self, are_joined: bool) -> None:
        """Whether an edge continues at the opposite one from now on, or as the model was trained."""
        if are_joined != self._are_joined:
            for part, usual in self._usual.items():
                part.padding_mode = "circular" if are_joined else usual
            self._are_joined = are_joined
