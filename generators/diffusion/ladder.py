"""What a generator gives up, rung by rung, when a device runs out of memory."""

# pyright: basic

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.utils.memory import clear_device_cache
from diffusers.hooks.group_offloading import apply_group_offloading
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from limner.generators.diffusion.pipelines import denoiser_of

log = logging.getLogger(__name__)


class Ladder:
    """Where a generator stands between all in one call and the last resort when the device runs out of memory.

    The rungs: calls of as many samples as ``pixels`` allows; half as many, down to one row; for one picture that cannot
    be decoded, its decoding in tiles; the models that are not in use in main memory; all weights but those of the layer
    that is computed. A request fails below the last rung only. What worked stays until `climb`, so that a failure is
    paid for once.

    Args:
        pipe: the pipeline; its VAE learns to tile, itself to offload.
        pixels: width times height of all samples of one call, at most; may be changed while nothing is in flight.
        can_offload: whether the device has a main memory to offload to, and has not done so yet.
    """

    def __init__(self, pipe: DiffusionPipeline, pixels: int, *, can_offload: bool) -> None:
        self.pixels = pixels
        self.can_offload = can_offload
        self._can_offload_layers = can_offload
        self._pipe = pipe
        self.climb()

    def climb(self) -> None:
        """Start from the top again, as the missing memory may be free now.

        Offloaded models stay offloaded: moving them back needs the very memory that was missing.
        """
        self._decoded = self.pixels
        self._denoised = 2 * self.pixels  # a guided sample is two rows of its call
        self._tile_from = math.inf

    def rows(self, pixels: int, *, decoding: bool) -> int:
        """How many rows of this size go into one call of the VAE (or of a whole pipeline) or of the denoiser."""
        return max(1, (self._decoded if decoding else self._denoised) // pixels)

    def give_up(self, rows: int, pixels: int, *, decoding: bool) -> bool:
        """Go one rung down, after a call of ``rows`` ran out of memory; False if none is left for a single row.

        Args:
            rows: of the call, which must be repeated in halves if there are several.
            pixels: width times height of each.
            decoding: whether it was a call of the VAE, or of a whole pipeline.
        """
        clear_device_cache(garbage_collection=True)
        if rows > 1:
            if decoding:
                self._decoded = rows // 2 * pixels
            else:
                self._denoised = rows // 2 * pixels
            log.warning("memory_short then=smaller_calls rows=%d pixels=%d", rows // 2, pixels)
            return True
        return (decoding and self._tile(pixels)) or self._offload() or self._offload_layers()

    @contextmanager
    def tiling(self, pixels: int) -> Iterator[None]:
        """Decode in tiles inside this block, if a picture of that size could not be decoded otherwise.

        Tiles are blended, so their picture differs slightly from one decoded whole: only pictures that need it are
        tiled.
        """
        if pixels < self._tile_from:
            yield
            return
        self._pipe.vae.enable_tiling()
        try:
            yield
        finally:
            self._pipe.vae.disable_tiling()

    def _tile(self, pixels: int) -> bool:
        if pixels >= self._tile_from or not hasattr(getattr(self._pipe, "vae", None), "enable_tiling"):
            return False
        self._tile_from = pixels
        log.warning("memory_short then=tiles pixels=%d", pixels)
        return True

    def _offload(self) -> bool:
        if not self.can_offload:
            return False
        self.can_offload = False
        self._pipe.enable_model_cpu_offload(device=self._pipe._execution_device)
        log.warning("memory_short then=offload")
        return True

    def _offload_layers(self) -> bool:
        """Keep all weights but the computed layer's in main memory; a GPU fetches the denoiser's next meanwhile."""
        if not self._can_offload_layers or not offloads_layers(self._pipe):
            return False
        self._can_offload_layers = False
        device, pipe = self._pipe._execution_device, self._pipe
        pipe.remove_all_hooks()
        pipe._all_hooks = []  # or the pipeline would offload whole models again after each picture
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                streams = device.type == "cuda" and part is denoiser_of(pipe)
                apply_group_offloading(part.to("cpu"), device, offload_type="leaf_level", use_stream=streams)
        log.warning("memory_short then=offload_layers")
        return True


def offloads_layers(pipe: DiffusionPipeline) -> bool:
    """Whether the weights of each layer can be moved by themselves (diffusers' group offloading)."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return all(getattr(part, "_supports_group_offloading", True) for part in parts)
