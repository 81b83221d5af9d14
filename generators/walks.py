"""Where a walk's frames lie: evenly at first, then closer together where neighbouring pictures differ most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from PIL import Image, ImageChops, ImageStat

from limner.generators.animation import Animation

LOOKED_AT = (8, 8)
"""The size at which pictures are compared."""
JUMP = 2.0
"""Neighbours that differ by so many times the median are a jump, which no words in between make smaller."""


class Bridge(NamedTuple):
    """Two painted places whose pictures are cross-faded, and how much the second counts."""

    start: float
    end: float
    share: float


class FramePlace(NamedTuple):
    """Where a frame lies: its distance from the first key, with 1 between two keys; over a jump it has a bridge."""

    distance: float
    bridge: Bridge | None = None


def rounds(
    animation: Animation, keys: int, painted: Mapping[float, Image.Image], *, bridges: bool
) -> Iterator[list[FramePlace]]:
    """The places of a walk's frames, as many as it has, in rounds; ``painted`` has the pictures of all before.

    First come half of the frames, at the keys and evenly between them. The others are placed where neighbours differ
    most, and the later of them over jumps, if the model ``bridges`` them: it paints from a mixture of two neighbours
    ("Interpolating between Images with Diffusion Models", Wang and Golland 2023).
    """
    ways = animation.ways(keys)
    parts = max(1, (animation.frames // 2 - animation.swings) // ways)
    yield [FramePlace(number / parts) for number in range(parts * ways + animation.swings)]
    left = animation.frames - len(painted)
    end = None if animation.swings else float(ways)
    half, quarter = left // 2, left // 4
    yield _closer(painted, left - half, end, bridges=False)
    yield _closer(painted, half - quarter, end, bridges=bridges)
    yield _closer(painted, quarter, end, bridges=bridges)


def _closer(painted: Mapping[float, Image.Image], count: int, end: float | None, *, bridges: bool) -> list[FramePlace]:
    """So many places between painted ones; at the ``end`` of a loop is its first picture."""
    pictures = dict(sorted(painted.items())) | ({} if end is None else {end: painted[0]})
    gaps = list(pairwise(pictures))
    widths = [difference(pictures[start], pictures[stop]) for start, stop in gaps]
    jump = JUMP * median(widths)
    places: list[FramePlace] = []
    for (start, stop), width, parts in zip(gaps, widths, divided(widths, count), strict=True):
        for share in (number / parts for number in range(1, parts)):
            bridge = Bridge(start, 0 if stop == end else stop, share) if bridges and width > jump else None
            places.append(FramePlace(start + (stop - start) * share, bridge))
    return places


def divided(widths: Sequence[float], count: int) -> list[int]:
    """Into how many parts each gap is divided by ``count`` frames, so that the widest part is as narrow as possible."""
    parts = [1] * len(widths)
    for _ in range(count):
        parts[max(range(len(widths)), key=lambda gap: widths[gap] / parts[gap])] += 1
    return parts


def difference(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ: the root mean square of their pixels when they are small."""
    small = (image.convert("RGB").resize(LOOKED_AT, Image.Resampling.BOX) for image in (one, other))
    return math.hypot(*ImageStat.Stat(ImageChops.difference(*small)).rms)
