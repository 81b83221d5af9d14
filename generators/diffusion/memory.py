"""Memory: measures what painting takes on the device, and decides what fits."""

# pyright: basic

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.weights_size import weights_bytes
from limner.generators.diffusion.ladder import offloads_layers
from limner.generators.diffusion.meters import Meter, meter_of
from limner.generators.errors import BadRequest, GenerationError, TooLarge, error_site
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

log = logging.getLogger(__name__)

HEADROOM = 0.2
"""The share of free memory that is never planned with: allocators lose some to fragmentation, longer prompts and other
schedulers take a little more than what was measured, and on the CPU other programs live in the same memory."""

CPU_SIDE = 256
"""The longer side, in pixels, of the pictures that are painted on the CPU to measure what they take."""

GIB = 2**30
GREY = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
"""A picture of one pixel, for models that change pictures."""


@dataclass(frozen=True)
class Cost:
    """Bytes taken for some pixels: a fixed part, and a part for each of them."""

    fixed: float
    per_pixel: float

    @classmethod
    def fit(cls, pixels: int, once: int, twice: int) -> Cost:
        """From the peaks that ``pixels`` and twice as many were seen to have.

        The pixels are given at least a quarter of the greater peak, lest noise in a measurement makes them free.
        """
        per_pixel = max(1, twice - once, twice / 4) / pixels
        return cls(max(0.0, twice - 2 * pixels * per_pixel), per_pixel)

    def of(self, pixels: int) -> float:
        """Bytes for ``pixels``."""
        return self.fixed + pixels * self.per_pixel


class Costs(NamedTuple):
    """What painting with a model takes: a whole step with its decoding, and the denoiser alone."""

    painting: Cost
    denoising: Cost


@dataclass(frozen=True)
class Budget:
    """The memory of a loaded model, in bytes and in pixels.

    ``free`` is the memory left after loading, less `HEADROOM`; ``releasable`` are the weights that offloading
    could move off the device. ``painting`` is the cost of a whole step with its decoding, which can be split,
    ``denoising`` that of the denoiser alone, which cannot be split below one sample.
    """

    free: float
    releasable: int
    painting: Cost
    denoising: Cost

    @property
    def pixels(self) -> int:
        """Pixels that fit into one call; 0 if not even the fixed part does."""
        return max(0, math.floor((self.free - self.painting.fixed) / self.painting.per_pixel))

    def check(self, request: GenerationRequest) -> None:
        """Refuse a request that cannot fit even alone: one picture at a time, one row of it, in tiles, with offloading.

        All frames of a video are one row, and its guided and unguided halves may be one call.

        Raises:
            BadRequest: it never fits; the sentence says how far off it is.
        """
        room = self.free + self.releasable
        if request.is_video:
            if (needed := self.denoising.of(request.pixels_at_once)) > room:
                raise BadRequest(
                    sentence(
                        "A video of {frames} frames of {width}x{height} needs about {needed:.1f} GiB of memory and "
                        "this device has {room:.1f} GiB; ask for fewer frames or smaller ones.",
                        frames=request.frames,
                        width=request.width,
                        height=request.height,
                        needed=needed / GIB,
                        room=room / GIB,
                    )
                )
            return
        # the measured picture was a guided one, whose two rows can be denoised one after the other
        needed = self.denoising.of(request.width * request.height // 2)
        if needed > room:
            raise BadRequest(
                sentence(
                    "A picture of {width}x{height} needs about {needed:.1f} GiB of memory and this device has "
                    "{room:.1f} GiB; ask for a smaller one.",
                    width=request.width,
                    height=request.height,
                    needed=needed / GIB,
                    room=room / GIB,
                )
            )


def budget(
    device: torch.device,
    card: ModelCard,
    releasable: int,
    paint: Callable[[GenerationRequest], Iterator[None]],
    measured: Measured,
    key: str,
) -> Budget | None:
    """What fits into the memory that is free now; None where it cannot be measured or not even two samples fit.

    What painting takes is measured once, because that takes half a second and more.

    Args:
        device: the model's device.
        card: the model.
        releasable: bytes of weights that offloading could move off the device.
        paint: paints a request of two steps, yields after each of them, and raises OutOfMemory if it cannot.
        measured: where the costs are kept.
        key: names the model, its size and precision, the device and the libraries: all that the costs depend on.
    """
    meter = meter_of(device)
    if meter is None:
        return None
    costs = _read(measured.get("memory", key))
    if costs is None:
        costs = _measure(meter, card, CPU_SIDE if device.type == "cpu" else max(card.width, card.height), paint)
        if costs is None:
            return None
        measured.put("memory", key, [[cost.fixed, cost.per_pixel] for cost in costs])
    return Budget(meter.free() * (1 - HEADROOM), releasable, *costs)


def _read(kept: Any) -> Costs | None:
    """The costs as JSON keeps them; None if there are none, or they are damaged."""
    try:
        costs = Costs(*(Cost(float(fixed), float(per_pixel)) for fixed, per_pixel in kept))
    except (TypeError, ValueError):
        return None
    return costs if all(0 <= cost.fixed < math.inf and 0 < cost.per_pixel < math.inf for cost in costs) else None


def _measure(
    meter: Meter, card: ModelCard, side: int, paint: Callable[[GenerationRequest], Iterator[None]]
) -> Costs | None:
    """Paint one and two samples, or a video and one twice as wide, and measure the memory.

    Paints at the model's own size, or a longer side of ``side`` if that is less: on the CPU it is slow, and memory
    grows evenly with the pixels.
    """
    started = time.perf_counter()
    once = _test_request(card, side, 1)
    try:
        _peaks(meter, paint(_test_request(card, side // 2, 1)))  # libraries initialise in the first call
        one, two = _peaks(meter, paint(once)), _peaks(meter, paint(_test_request(card, side, 2)))
    except GenerationError as error:  # or the model only changes pictures
        log.warning("memory_not_measured model=%s reason=%s", card.name, error_site(error))
        return None
    denoising, painting = (Cost.fit(once.pixels_at_once, *pair) for pair in zip(one, two, strict=True))
    log.info(
        "memory_measured model=%s bytes_per_pixel=%.0f fixed=%.0f seconds=%.2f",
        *(card.name, painting.per_pixel, painting.fixed, time.perf_counter() - started),
    )
    return Costs(painting, denoising)


def _test_request(card: ModelCard, long_side: int, samples: int) -> GenerationRequest:
    """A guided request of two steps: the most expensive one at that size, or at the model's own if that is less."""
    part, step = min(1.0, long_side / max(card.width, card.height)), card.multiple_of
    width, height = (max(1, round(side * part / step)) * step for side in (card.width, card.height))
    request = GenerationRequest(
        prompt="a picture",
        model=card.name,
        width=width,
        height=height,
        num_inference_steps=2,
        guidance_scale=max(card.guidance_scale, 2.0),
        seed=0,
        num_images_per_prompt=samples,
        init_image=GREY if card.edits else None,
    )
    if card.video:  # one call has one video, so what two take is measured by one of twice the width
        return replace(request, num_images_per_prompt=1, width=samples * width, animation=card.video.shortest)
    return request


def _peaks(meter: Meter, painting: Iterator[None]) -> tuple[int, int]:
    """The peaks of the first step, which only denoises, and of the whole."""
    meter.reset()
    next(painting)
    denoising = meter.peak()
    for _ in painting:
        pass
    return denoising, meter.peak()


def releasable(pipe: DiffusionPipeline) -> int:
    """Bytes of weights that leave the device when only the largest of the pipeline's models stays there, or layer."""
    sizes = weights(pipe)
    if not offloads_layers(pipe):
        return sum(sizes) - max(sizes)
    models = [model for model in pipe.components.values() if isinstance(model, torch.nn.Module)]
    return sum(sizes) - max(one.numel() * one.element_size() for model in models for one in model.parameters())


def weights(pipe: DiffusionPipeline) -> list[int]:
    """Bytes of the weights of each of the pipeline's models."""
    models = [model for model in pipe.components.values() if isinstance(model, torch.nn.Module)]
    return [sum(each.numel() * each.element_size() for each in model.parameters()) for model in models]


def need_memory(source: str, dtype: torch.dtype, device: torch.device) -> None:
    """Raise TooLarge if the CPU cannot hold the weights of a folder or checkpoint, swap space included.

    Linux would end this process, or another one, instead of failing. Weights for an accelerator are read through a
    mapped file and need no such room.
    """
    meter = meter_of(device)
    if device.type != "cpu" or meter is None or not Path(source).exists():
        return
    needed, free = weights_bytes(Path(source), dtype.itemsize), meter.free() + psutil.swap_memory().free
    if needed > free:
        raise TooLarge(
            sentence(
                "This model takes {needed} GB of memory, and {free} GB are free here; choose a smaller one.",
                needed=_gigabytes(needed),
                free=_gigabytes(free),
            )
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f}"
