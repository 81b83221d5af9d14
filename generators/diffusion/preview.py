"""Previews: small, rough pictures from the latents, by a linear map that is fitted to the model's own VAE."""

# pyright: basic

from __future__ import annotations

import logging
import math
import time
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from limner.generators.errors import error_site
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    from torch import Tensor

log = logging.getLogger(__name__)

LONG_SIDE = 128
"""Longer side of a preview in pixels."""

_LESSON = 4, 128
"""Number and side of the pictures that the map is fitted to: some thousand latents, a tenth of a second."""


class Previewer:
    """Paints previews for one pipeline.

    Each latent with its eight neighbours is mapped to two by two pixels. The map is the least-squares solution for
    made-up pictures of smooth colours and hard edges that the pipeline's VAE has encoded, so it serves any VAE of
    pictures with any number of channels.

    Args:
        pipe: the pipeline, on its device.
        every: seconds between two previews of what one scheduler denoises.
    """

    def __init__(self, pipe: DiffusionPipeline, every: float) -> None:
        self._pipe = pipe
        self._every = every
        pictures = _made_up_pictures(*_LESSON)
        with torch.no_grad():
            encoded = pipe.vae.encode(pictures.to(pipe._execution_device, pipe.vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        latents = latents.float().cpu()
        height, width = latents.shape[-2:]
        small = functional.adaptive_avg_pool2d(pictures, (2 * height, 2 * width))
        wanted = functional.pixel_unshuffle(small, 2).movedim(1, -1)
        self._map = torch.linalg.lstsq(_neighbourhoods(latents).flatten(0, 2), wanted.flatten(0, 2)).solution

    def look(self, watch: Watch) -> Tensor | None:
        """The latents for `paint`; None if the next preview is not due yet, or they are not known."""
        if time.perf_counter() - watch.looked < self._every:
            return None
        watch.looked = time.perf_counter()
        return watch.denoised()

    def paint(self, latents: Tensor, request: GenerationRequest) -> Image.Image | None:
        """One picture of all samples, side by side in rows of equal length; `LONG_SIDE` long.

        None for latents of a kind that the map was not fitted to: the picture itself is fine, but has no more previews.

        Args:
            latents: without noise, as the request's pipeline denoises them; the first dimension is the samples.
            request: their request.
        """
        try:
            return self._paint(latents, request)
        except Exception as error:
            log.warning("no_previews reason=%s", error_site(error))
            self._every = math.inf
            return None

    def _paint(self, latents: Tensor, request: GenerationRequest) -> Image.Image:
        pixels = _neighbourhoods(self._as_the_vae_reads(latents.float().cpu(), request)) @ self._map
        pixels = functional.pixel_shuffle(pixels.movedim(-1, 1), 2)
        sheet = _side_by_side(pixels.clamp(-1, 1).nan_to_num())
        picture = Image.fromarray(np.uint8((sheet.movedim(0, -1).numpy() + 1) * 127.5))
        scale = LONG_SIDE / max(picture.size)
        return picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)

    def _as_the_vae_reads(self, latents: Tensor, request: GenerationRequest) -> Tensor:
        """Unpacked and unscaled latents; SDXL gives the scale as a mean and deviation for each channel."""
        config = self._pipe.vae.config
        if latents.ndim == 3:
            latents = self._pipe._unpack_latents(latents, request.height, request.width, self._pipe.vae_scale_factor)
        if getattr(config, "latents_mean", None) and getattr(config, "latents_std", None):
            mean, deviation = (torch.tensor(each).view(-1, 1, 1) for each in (config.latents_mean, config.latents_std))
            return latents * deviation / config.scaling_factor + mean
        return latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0)


def make_previewer(pipe: DiffusionPipeline, every: float) -> Previewer | None:
    """None without previews, or where the pipeline's latents cannot be previewed."""
    if not every:
        return None
    try:
        return Previewer(pipe, every)
    except Exception as error:  # another kind of VAE, such as a video's, or none at all
        log.warning("no_previews reason=%s", error_site(error))
        return None


class Watch:
    """Records the denoiser's estimate of the clean latents in a loop's scheduler.

    Attributes:
        looked: when it was last read, or made.
        after: gets the latents after each step, and gives those that the loop goes on with; None for the same.
    """

    def __init__(self, scheduler: Any) -> None:
        self.looked = time.perf_counter()
        self.after: Callable[[Tensor], Tensor] | None = None
        self._scheduler = scheduler
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        take_step = scheduler.step

        @wraps(take_step)  # pipelines inspect its signature
        def step(predicted: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            scale = getattr(scheduler, "scale_model_input", None)
            self._last = scale(sample, timestep) if scale else sample, predicted, timestep
            taken = take_step(predicted, timestep, sample, *args, **kwargs)
            return (self.after(taken[0]), *taken[1:]) if self.after else taken

        scheduler.step = step

    @property
    def steps(self) -> int:
        """How many steps the loop takes, once it has begun."""
        return len(self._scheduler.timesteps)

    def denoised(self) -> Tensor | None:
        """The latents without noise after the last step; None before the first, and where they are not known."""
        return self._last and denoised(self._scheduler, *self._last)


def denoised(scheduler: Any, sample: Tensor, predicted: Tensor, timestep: Tensor) -> Tensor | None:
    """The latents that the denoiser believes in, from what it read and answered; None for a scheduler of no known kind.

    Whatever a scheduler does with the latents in between, what the denoiser reads is ``signal * x0 + noise * epsilon``
    as it was in its training, and the timestep says how much of each.
    """
    kind = getattr(scheduler.config, "prediction_type", "flow_prediction")
    if kind == "sample":
        return predicted
    if kind == "flow_prediction":
        return sample - timestep / scheduler.config.num_train_timesteps * predicted
    if not hasattr(scheduler, "alphas_cumprod"):
        return None
    kept = scheduler.alphas_cumprod[timestep.round().long().cpu()].to(sample)
    signal, noise = kept**0.5, (1 - kept) ** 0.5
    if kind == "v_prediction":
        return signal * sample - noise * predicted
    return (sample - noise * predicted) / signal


def _made_up_pictures(count: int, side: int) -> Tensor:
    """(count, 3, side, side) in [-1, 1]: smooth colours, with patches of one colour and hard edges on them."""
    random = torch.Generator().manual_seed(0)

    def smooth(channels: int, spots: int) -> Tensor:
        field = torch.rand(count, channels, spots, spots, generator=random)
        return functional.interpolate(field, size=(side, side), mode="bicubic").clamp(0, 1)

    colours = torch.rand(count, 3, 1, 1, generator=random)
    return torch.where(smooth(1, 8) > 0.5, colours, smooth(3, 4)) * 2 - 1


def _neighbourhoods(latents: Tensor) -> Tensor:
    """(n, height, width, 9 * channels + 1): each latent with its neighbours, and a one for the map's offset."""
    count, _, height, width = latents.shape
    patches = functional.unfold(functional.pad(latents, (1, 1, 1, 1), mode="replicate"), 3)
    patches = patches.movedim(1, -1).unflatten(1, (height, width))
    return torch.cat([patches, patches.new_ones(count, height, width, 1)], dim=-1)


def _side_by_side(pixels: Tensor) -> Tensor:
    """(3, rows * height, columns * width) from (n, 3, height, width), in reading order; the rest is black."""
    count, channels, height, width = pixels.shape
    columns = math.ceil(count**0.5)
    rows = math.ceil(count / columns)
    sheet = pixels.new_full((rows * columns, channels, height, width), -1)
    sheet[:count] = pixels
    return sheet.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
