"""Relations between the two things of a scene: their words, and the positions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from limner.generators.training.doodle.pictograms import Noun

_BESIDE = ("left of", "right of", "next to", "and", "beside", "to the left of", "to the right of")


def relations(one: Noun, other: Noun) -> tuple[str, ...]:
    """Words between two nouns; frequent ones occur more than once."""
    if one.home in ("fly", "space"):
        return ("above", "over", "and")
    if other.name == "branch":
        return ("on",)
    if other.name in ("tree", "palm tree", "fir tree", "umbrella", "rainbow", "cloud", "full moon"):
        return ("under", "under", "next to", "and")
    return (*_BESIDE, "and", "with", "on top of")


def _left(random: Random) -> list[tuple[float, float, float]]:
    y, side = random.uniform(0.5, 0.64), random.uniform(0.42, 0.5)
    return [(0.27, y, side), (0.74, y, side)]


def _right(random: Random) -> list[tuple[float, float, float]]:
    return _left(random)[::-1]


def _any(random: Random) -> list[tuple[float, float, float]]:
    return random.choice((_left, _right))(random)


def _above(random: Random) -> list[tuple[float, float, float]]:
    return [(random.uniform(0.4, 0.6), 0.27, 0.46), (random.uniform(0.4, 0.6), 0.75, 0.46)]


def _under(random: Random) -> list[tuple[float, float, float]]:
    return [(random.uniform(0.42, 0.58), 0.79, 0.38), (random.uniform(0.45, 0.55), 0.38, 0.7)]


def _on(random: Random) -> list[tuple[float, float, float]]:
    side = random.uniform(0.5, 0.6)
    return [(random.uniform(0.42, 0.58), 0.68 - side / 2, side), (0.5, 0.72, 0.85)]


LAYOUTS: dict[str, Callable[[Random], list[tuple[float, float, float]]]] = {
    "left of": _left, "to the left of": _left, "right of": _right, "to the right of": _right, "next to": _any,
    "and": _any, "beside": _any, "with": _any, "above": _above, "over": _above, "on top of": _above,
    "under": _under, "on": _on,
}  # fmt: skip
"""Where the two things of a relation stand: x, y of the middle and side, each in parts of the picture's."""
