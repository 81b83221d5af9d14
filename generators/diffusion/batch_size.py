"""How many samples one call of the denoiser should hold: timed on the device, since only some save time by it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator

from limner.generators.base import GenerationError, GenerationRequest, ModelCard, place_of

log = logging.getLogger(__name__)

GAIN = 0.05
"""The share of a sample's time that a call of twice as many has to save."""
LONG_SECONDS = 1.0
"""Calls that take longer are not doubled: nobody is to wait for the measurement, and they keep the device busy."""
TIMED_STEPS = 2


def best_batch(card: ModelCard, pixels: int, paint: Callable[[GenerationRequest], Generator[None]]) -> int:
    """Time denoising steps of one, two, four ... samples, and tell from where on more only take as much longer.

    Args:
        card: the model; the samples have its size.
        pixels: width times height of all samples that fit into one call.
        paint: paints a request and yields after each step.
    """
    best, seconds_each, size = 1, float("inf"), 1
    while size * card.width * card.height <= pixels:
        try:
            seconds = _seconds_a_step(paint(_request(card, size)))
        except GenerationError as error:  # the model paints from pictures only, or there is less room than was thought
            log.warning("batch_not_measured model=%s reason=%s", card.name, place_of(error))
            break
        if seconds / size < (1 - GAIN) * seconds_each:
            best, seconds_each = size, seconds / size
        if seconds > LONG_SECONDS:
            break
        size *= 2
    log.info("batch_measured model=%s samples=%d seconds_each=%.4f", card.name, best, seconds_each)
    return best


def _seconds_a_step(painting: Generator[None]) -> float:
    """Of the quickest step; the first one is not counted, for libraries set themselves up in it."""
    next(painting)
    times: list[float] = []
    for _ in range(TIMED_STEPS):
        started = time.perf_counter()
        next(painting)
        times.append(time.perf_counter() - started)
    painting.close()
    return min(times)


def _request(card: ModelCard, samples: int) -> GenerationRequest:
    return GenerationRequest(
        prompt="a picture",
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=TIMED_STEPS + 2,
        guidance_scale=max(card.guidance_scale, 2.0),
        seed=0,
        num_images_per_prompt=samples,
    )
