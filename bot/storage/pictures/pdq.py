"""PDQ: a perceptual hash of 256 bits, in which platforms share lists of pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAMPLES, FREQUENCIES = 64, 16
PASSES = 2
LEAST_QUALITY = 50
"""Pictures of a lower quality are too plain to be compared."""
MOST_SIDE = 512
"""Longer sides are scaled down first, as the programs of the hash's authors do."""

Plane = NDArray[np.float32]


def pdq(image: Image.Image) -> tuple[str, int]:
    """The hash as 64 hexadecimal digits, and its quality from 0 (plain) to 100.

    "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019): two passes of box
    filters along rows and columns, 64x64 samples of the result, the 16x16 lowest frequencies of their cosine transform
    without the constant ones, and a bit for each that says whether it is above their median.
    """
    samples = _samples(_luma(image))
    frequencies = _COSINES @ samples @ _COSINES.T
    bits = frequencies > np.median(frequencies)
    # The last frequency is the highest bit.
    return np.packbits(bits.ravel()[::-1]).tobytes().hex(), _quality(samples)


def _luma(image: Image.Image) -> Plane:
    if max(image.size) > MOST_SIDE:
        image = image.copy()
        image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.BILINEAR)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(image.convert("RGB"), np.float32) @ weights


def _samples(luma: Plane) -> NDArray[np.float64]:
    """64x64 values of the blurred picture."""
    height, width = luma.shape
    for _ in range(PASSES):
        luma = _box(_box(luma, _window(width)).T, _window(height)).T
    rows, columns = (((np.arange(SAMPLES) + 0.5) * side / SAMPLES).astype(int) for side in (height, width))
    return luma[np.ix_(rows, columns)].astype(float)


def _window(side: int) -> int:
    """Pixels of the box along a side."""
    return -(-side // (2 * SAMPLES))


def _box(plane: Plane, window: int) -> Plane:
    """Means along the rows over as much of the window as lies in the picture."""
    length = len(plane.T)
    sums = np.pad(plane.astype(float), ((0, 0), (1, 0))).cumsum(axis=1)
    ends = np.arange(length) + (window + 2) // 2
    starts, ends = (ends - window).clip(min=0), ends.clip(max=length)
    return ((sums[:, ends] - sums[:, starts]) / (ends - starts)).astype(np.float32)


def _quality(samples: NDArray[np.float64]) -> int:
    """How much neighbouring samples differ, in whole hundredths of the range; a hundred is enough."""
    steps: Plane = np.concatenate([np.diff(samples, axis=axis).ravel() for axis in (0, 1)]).astype(np.float32)
    return min(100, int(np.abs(np.trunc(steps * 100 / 255)).sum() / 90))


_COSINES = np.sqrt(2 / SAMPLES) * np.cos(
    np.pi / (2 * SAMPLES) * np.outer(np.arange(1, FREQUENCIES + 1), 2 * np.arange(SAMPLES) + 1)
)
"""The cosine transform's rows from the first frequency on; the constant is left out."""
