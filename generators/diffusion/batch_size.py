"""How many samples one call of the denoiser should hold: timed on the device, since only some save time by it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator

from limner.generators.base import FIRST_BATCH, GenerationError, GenerationRequest, ModelCard, error_site

log = logging.getLogger(__name__)

GAIN = 0.05
"""The share of a sample's time that a call of twice as many has to save."""
LONG_SECONDS = 1.0
"""Calls that take longer are not doubled: nobody is to wait for the measurement, and they keep the device busy."""
TIMED_STEPS = 2
TIMED_CALLS = 3
"""Calls of each of two sizes that are compared while requests are painted."""


class BatchSize:
    """How many samples of a model's own size go into one call of the denoiser: as many as fit and save time.

    While twice as many wait, calls of both sizes are made in turn and timed; the size is doubled for as long as that
    saves `GAIN` of a sample's time.

    Args:
        card: the model.
        fits: pixels (width times height of all samples) that fit into one call.
        samples: how many to begin with.
        keep: called with each new number of samples; None: no other number is tried, and all that fits is room.
    """

    def __init__(self, card: ModelCard, fits: int, samples: int, keep: Callable[[int], None] | None = None) -> None:
        self.samples = samples
        self._model, self._sample, self._fits = card.name, card.width * card.height, fits
        self._keep, self._settled = keep, keep is None
        self._forget()

    @property
    def together(self) -> int:
        """Pixels that are worth having in flight: one call, or the two that are still to be compared."""
        return self._pixels if self._is_settled else 2 * self._pixels

    @property
    def room(self) -> int:
        """Pixels of all requests that may be in flight: two calls, so that the next one is full."""
        return min(self._fits, max(2 * self._pixels, FIRST_BATCH * self._sample)) if self._keep else self._fits

    def choose(self, alike: int) -> int:
        """Pixels of the next call, where so many wait in samples of the model's own size that may share one."""
        self._trying = not self._is_settled and alike >= 2 * self._pixels
        larger = self._trying and len(self._larger) < len(self._smaller)
        return 2 * self._pixels if larger else self._pixels

    def took(self, pixels: int, rows: int, seconds: float) -> None:
        """Learn from a call of so many pixels and rows."""
        if not self._trying:
            return
        if pixels > 1.5 * self._pixels:
            self._larger.append(seconds / rows)
        elif pixels > 0.75 * self._pixels:
            self._smaller.append(seconds / rows)
            self._settled = seconds > LONG_SECONDS
        if len(self._larger) == TIMED_CALLS and self._keep:
            saves = min(self._larger) < (1 - GAIN) * min(self._smaller)
            log.info("batch_tried model=%s samples=%d saves=%s", self._model, 2 * self.samples, saves)
            self._settled = not saves
            if saves:
                self.samples *= 2
                self._keep(self.samples)
            self._forget()

    @property
    def _pixels(self) -> int:
        return self.samples * self._sample

    @property
    def _is_settled(self) -> bool:
        return self._settled or 2 * self._pixels > self._fits

    def _forget(self) -> None:
        self._trying = False
        self._smaller: list[float] = []
        self._larger: list[float] = []


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
            log.warning("batch_not_measured model=%s reason=%s", card.name, error_site(error))
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
