"""Where a walk's frames lie: evenly at first, then closer together where neighbouring pictures differ most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from PIL import Image

Look = Callable[[Image.Image], Sequence[float]]
"""Says what a picture looks like, in numbers: similar pictures have near ones."""
SMALL = (8, 8)
"""The size at which pixels are compared."""
EVENLY = 1 / 4
"""How many of the frames lie evenly."""
LEAST, PART = 2, 3
"""Fewest frames of a round, and which part of those that are left it has otherwise."""
JUMP = 2.0
"""Neighbours that differ by so many times the median are a jump, which no words in between make smaller."""


class Bridge(NamedTuple):
    """Two painted places whose pictures are cross-faded, and how much the second counts.

    One that ``is_bare`` stays as it is faded, as far as the model allows.
    """

    start: float
    end: float
    share: float
    is_bare: bool


class FramePlace(NamedTuple):
    """Where a frame lies: its distance from the first key, with 1 between two keys; over a jump it has a bridge."""

    distance: float
    bridge: Bridge | None = None


def rounds(
    frames: int, ways: int, looks: Mapping[float, Sequence[float]], *, swings: bool, bridges: bool
) -> Iterator[list[FramePlace]]:
    """The places of a walk's frames, in rounds; ``looks`` has what the pictures of all before look like.

    A quarter of the frames comes first, at the keys and evenly on the ``ways`` between them. The others are placed
    where neighbours differ most, a third of those that are left at a time, so that each round sees what the one before
    has found. Over jumps they are cross-faded, if the model ``bridges`` them: it paints anew from a mixture of two
    neighbours ("Interpolating between Images with Diffusion Models", Wang and Golland 2023). What is painted anew often
    looks like one of them again; so a mixture of what was mixed before stays as it is.
    """
    parts = max(1, (round(EVENLY * frames) - swings) // ways)
    yield [FramePlace(number / parts) for number in range(parts * ways + swings)]
    bridged: set[float] = set()
    while left := frames - len(looks):
        end = None if swings else float(ways)
        places = _closer(looks, min(left, max(LEAST, left // PART)), end, bridged, bridges=bridges)
        bridged.update(place.distance for place in places if place.bridge)
        yield places


def _closer(
    looks: Mapping[float, Sequence[float]], count: int, end: float | None, bridged: set[float], *, bridges: bool
) -> list[FramePlace]:
    """So many places between painted ones; at the ``end`` of a loop is its first picture."""
    seen = dict(sorted(looks.items())) | ({} if end is None else {end: looks[0]})
    gaps = list(pairwise(seen))
    widths = [math.dist(seen[start], seen[stop]) for start, stop in gaps]
    jump = JUMP * median(widths)
    places: list[FramePlace] = []
    for (start, stop), width, parts in zip(gaps, widths, divided(widths, count), strict=True):
        is_bare = not bridged.isdisjoint((start, stop))
        for share in (number / parts for number in range(1, parts)):
            bridge = Bridge(start, 0 if stop == end else stop, share, is_bare)
            is_bridged = bridges and (width > jump or is_bare)
            places.append(FramePlace(start + (stop - start) * share, bridge if is_bridged else None))
    return places


def divided(widths: Sequence[float], count: int) -> list[int]:
    """Into how many parts each gap is divided by ``count`` frames, so that the widest part is as narrow as possible."""
    parts = [1] * len(widths)
    for _ in range(count):
        parts[max(range(len(widths)), key=lambda gap: widths[gap] / parts[gap])] += 1
    return parts


def pixels(image: Image.Image) -> Sequence[float]:
    """What a picture looks like, by the colours of its parts."""
    return [float(byte) for byte in image.convert("RGB").resize(SMALL, Image.Resampling.BOX).tobytes()]
