"""Measures how many samples one denoiser call should hold, since larger calls save time on some devices only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from statistics import median

from limner.generators.base import FIRST_BATCH
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import GenerationError, error_site
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

GAIN = 0.05
"""The share of a sample's time that a faster way has to save where few calls are timed, as at a start."""
WORTH = 0.02
"""The share of a sample's time that a call of twice the size has to save while requests are painted."""
LONG_SECONDS = 1.0
"""Longer calls are not doubled: they already keep the device busy, and measuring would delay requests."""
TIMED_CALLS = 3
"""Calls of each size that are compared, if the two fastest of them agree: differ by less than `GAIN`."""
MOST_TIMED_CALLS = 9
"""Calls that are compared if the fastest ones do not agree, as on a busy machine."""
CLEAR = 0.1
"""Two sizes whose times differ by this share more than matters need no more calls than `TIMED_CALLS`."""
COMPARED_CALLS = 15
"""Calls of each size that are compared while requests are painted, where the difference is not `CLEAR`."""
AGAIN_AFTER = 200
"""Full calls after which a size is compared again, since a busy moment may have decided; then twice as many."""


class BatchSize:
    """Chooses the samples of one denoiser call: as many as fit and save time.

    While twice as many wait, calls of both sizes alternate and are timed; the size doubles for as long as that saves
    `WORTH` of a sample's time. A size that was kept by an earlier process, or chosen `AGAIN_AFTER` calls ago, is first
    compared with half of it, and halved for as long as the smaller calls take less time a sample. A size that does not
    fit is halved at once.

    Args:
        card: the model.
        fits: pixels (width times height of all samples) that fit into one call.
        samples: the first size.
        keep: called with each new size; None: the size is fixed, and everything that fits may be in flight.
        is_kept: whether an earlier process measured the first size, maybe under other conditions.
    """

    def __init__(
        self,
        card: ModelCard,
        fits: int,
        samples: int,
        keep: Callable[[int], None] | None = None,
        *,
        is_kept: bool = False,
    ) -> None:
        self.samples = samples
        self._model, self._sample, self._fits = card.name, card.width * card.height, fits
        self._keep, self._settled = keep, keep is None
        self._is_doubted = is_kept and samples > 1
        self._chosen = False
        self._pause = self._calls_left = AGAIN_AFTER
        self._forget()

    @property
    def together(self) -> int:
        """Pixels worth having in flight: one call, or the two sizes under comparison."""
        return self._pixels if self._is_settled else 2 * self._tried * self._sample

    @property
    def room(self) -> int:
        """Most pixels in flight: two calls, so that the next one is full."""
        return min(self._fits, max(2 * self._pixels, FIRST_BATCH * self._sample)) if self._keep else self._fits

    def choose(self, alike: int) -> int:
        """Pixels of the next call, for so many waiting pixels that may share one."""
        smaller = self._tried * self._sample
        self._trying = not self._is_settled and alike >= 2 * smaller
        if not self._trying:
            return self._pixels
        return 2 * smaller if len(self._larger) < len(self._smaller) else smaller

    def took(self, pixels: int, rows: int, seconds: float) -> None:
        """Record the time of a call of so many pixels and rows."""
        if not self._trying:
            self._count(pixels)
            return
        smaller = self._tried * self._sample
        if pixels > 1.5 * smaller:
            self._larger.append(seconds / rows)
        elif pixels > 0.75 * smaller:
            self._smaller.append(seconds / rows)
            if seconds > LONG_SECONDS and not self._is_doubted:
                self._settled = self._chosen = True
        if len(self._larger) > COMPARED_CALLS:
            self._larger.pop(0)  # one request may be as large as two smaller calls, so that none of those is made
        if self._is_clear() or min(len(self._larger), len(self._smaller)) == COMPARED_CALLS:
            self._decide()

    def ran_out(self, fits: int) -> None:
        """Record that a call had to be split because no more than so many pixels fitted."""
        self._fits = max(min(self._fits, fits), self._sample)
        samples = self.samples
        while self._pixels > self._fits:
            self.samples //= 2
        if self._keep and self.samples < samples:
            log.warning("batch_too_large model=%s samples=%d", self._model, samples)
            self._keep(self.samples)
        self._forget()

    def _count(self, pixels: int) -> None:
        """Count a full call of a size that was chosen before; after `_pause` of them it is compared again."""
        if not self._chosen or pixels < 0.75 * self._pixels:
            return
        self._calls_left -= 1
        if self._calls_left == 0:
            self._pause *= 2
            self._calls_left = self._pause
            self._is_doubted, self._settled = self.samples > 1, False

    def _is_clear(self) -> bool:
        """Whether few calls tell already which size takes less time."""
        if not (is_enough(self._larger) and is_enough(self._smaller)):
            return False
        ratios = self._ratio, min(self._larger) / min(self._smaller)
        return min(ratios) > self._wanted + CLEAR or max(ratios) < self._wanted - CLEAR

    @property
    def _ratio(self) -> float:
        """A sample's time in the larger calls beside that in the smaller ones before or after them.

        Each call is compared with its neighbour only, since other programs slow down stretches of time.
        """
        return median(larger / smaller for larger, smaller in zip(self._larger, self._smaller, strict=False))

    @property
    def _wanted(self) -> float:
        """The larger size is chosen where a sample takes less than this part of the smaller one's time."""
        return 1 if self._is_doubted else 1 - WORTH

    def _decide(self) -> None:
        """Choose between the two sizes that were timed."""
        ratio = self._ratio
        log.info("batch_tried model=%s samples=%d time=%.2f", self._model, 2 * self._tried, ratio)
        before = self.samples
        if self._is_doubted:
            self.samples = self._tried if ratio > self._wanted else self.samples
            self._is_doubted = 1 < self.samples < before
        elif ratio < self._wanted:
            self.samples *= 2
        else:
            self._settled = self._chosen = True
        if self._keep and self.samples != before:
            self._keep(self.samples)
        self._forget()

    @property
    def _pixels(self) -> int:
        return self.samples * self._sample

    @property
    def _tried(self) -> int:
        """The samples of the smaller one of the two sizes under comparison."""
        return self.samples // 2 if self._is_doubted else self.samples

    @property
    def _is_settled(self) -> bool:
        return self._settled or 2 * self._tried * self._sample > self._fits

    def _forget(self) -> None:
        self._trying = False
        self._smaller: list[float] = []
        self._larger: list[float] = []


def measured_batch(
    card: ModelCard,
    pixels: int,
    most: int | None,
    measured: Measured,
    key: str,
    paint: Callable[[GenerationRequest], Generator[None]],
) -> BatchSize:
    """The size to begin with: as an earlier process measured it, or measured now.

    Args:
        card: the model.
        pixels: width times height of all samples that fit into one call.
        most: the operator's limit of samples in a call; None for what fits.
        measured: where the size is kept from one process to the next.
        key: its name there.
        paint: paints a request and yields after each step.
    """
    key = f"{key}|at most {most}" if most else key
    known = measured.get("batch", key)
    known = known if isinstance(known, int) and known > 0 else None
    first = min(pixels, FIRST_BATCH * card.width * card.height)
    samples = min(known or best_batch(card, first, paint), samples_in(card, pixels))
    keep = partial(measured.put, "batch", key)
    if not known:
        keep(samples)
    return BatchSize(card, pixels, samples, keep, is_kept=known is not None)


def samples_in(card: ModelCard, pixels: int) -> int:
    """How many samples of the model's own size so many pixels are, at least one."""
    return max(1, pixels // (card.width * card.height))


def best_batch(card: ModelCard, pixels: int, paint: Callable[[GenerationRequest], Generator[None]]) -> int:
    """Time denoising steps of one, two, four ... samples, and find the size from which more take proportionally longer.

    Args:
        card: the model; the samples have its size.
        pixels: width times height of all samples that fit into one call.
        paint: paints a request and yields after each step.
    """
    best, seconds_each, size = 1, float("inf"), 1
    while size * card.width * card.height <= pixels:
        try:
            seconds = seconds_a_step(paint(timed_request(card, size)))
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


def seconds_a_step(painting: Generator[None]) -> float:
    """Seconds of the fastest step, without the first one, in which libraries initialise."""
    next(painting)
    times: list[float] = []
    while not is_enough(times) and (not times or times[-1] <= LONG_SECONDS):
        started = time.perf_counter()
        next(painting)
        times.append(time.perf_counter() - started)
    painting.close()
    return min(times)


def is_enough(seconds: Sequence[float]) -> bool:
    """Whether so many timed calls of one size tell how long it takes."""
    fastest = sorted(seconds)[:2]
    return len(seconds) == MOST_TIMED_CALLS or (len(seconds) >= TIMED_CALLS and fastest[1] < (1 + GAIN) * fastest[0])


def timed_request(card: ModelCard, samples: int) -> GenerationRequest:
    """A guided request of the model's own size, with steps enough to be timed."""
    return GenerationRequest(
        prompt="a picture",
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=MOST_TIMED_CALLS + 2,
        guidance_scale=max(card.guidance_scale, 2.0),
        seed=0,
        num_images_per_prompt=samples,
        animation=card.video.shortest if card.video else None,
    )
