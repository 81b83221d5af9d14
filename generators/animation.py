"""Animations: how many frames one has, and between which noises and words each frame lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Tensor

LEAST_FRAMES, MOST_FRAMES = 8, 48
LEAST_KEYS, MOST_KEYS = 2, 6
"""How many pictures or prompts a walk goes through."""
SEPARATOR = " | "
"""Stands between the keys' prompts in a request's prompt, and between their negative prompts."""
USUAL_RATE = 10
"""Frames that an animation shows in a second, unless its model says otherwise."""
RADIUS = 0.3
"""The radius of a pulse's circle, in radians seen from the middle of the sphere on which noise lies."""
_SECOND, _THIRD = 0x9E3779B9, 0x3C6EF372
"""What is added to a picture's seed for the two noises that span the circle of its pulse."""

Noises = tuple[tuple[int, float], ...]
"""Seeds of noises with their weights, whose squares add up to 1."""


@dataclass(frozen=True)
class Animation:
    """What is animated; JSON in and out.

    A walk goes through two or more keys, a pulse around one. The keys' prompts are the parts of the request's prompt
    between `SEPARATOR`, and so are their negative prompts; a single part counts for all. A video has no keys: its model
    paints all frames together, from one prompt.

    Attributes:
        frames: painted frames, `LEAST_FRAMES` to `MOST_FRAMES`.
        swings: it is played forwards and backwards (ping-pong); otherwise its end leads to its beginning.
        seeds: a seed for each key; without any all have the request's.
        pictures: the hashes of the pictures that it goes through, if it goes through pictures.
        is_video: a video model paints it as a whole.
        rate: frames that it shows in a second.
    """

    frames: int
    swings: bool = False
    seeds: tuple[int, ...] = ()
    pictures: tuple[str, ...] = ()
    is_video: bool = False
    rate: int = USUAL_RATE

    @property
    def is_pulse(self) -> bool:
        """Whether it goes around one picture."""
        return len(self.seeds) == 1

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read the dictionary of `dataclasses.asdict`, also from a JSON column."""
        lists: dict[str, Any] = {name: tuple(data[name]) for name in ("seeds", "pictures")}
        return cls(**{**data, **lists})

    def played(self, frames: Sequence[Any]) -> list[Any]:
        """Its frames in the order in which they are shown once."""
        return [*frames, *frames[-2:0:-1]] if self.swings else [*frames]

    def ways(self, keys: int) -> int:
        """How many ways between two keys a walk has; a pulse has one, from its key around to it."""
        return keys - 1 if self.swings else keys


@dataclass(frozen=True)
class Between:
    """Where a frame lies: the noises that it is painted from, and the words beside the request's own.

    ``share`` is how much the other words count, from 0 to 1.
    """

    noises: Noises
    prompt: str = ""
    negative_prompt: str = ""
    share: float = 0.0


def on_the_arc(first: int, second: int, share: float) -> Noises:
    """The noises of a frame on the shortest way between two seeds' noises."""
    if first == second or not share:
        return ((first, 1.0),)
    return ((first, math.cos(share * math.pi / 2)), (second, math.sin(share * math.pi / 2)))


def on_the_circle(seed: int, seeds: int, share: float) -> Noises:
    """The noises of a pulse's frame after a share of its circle, which goes through the seed's noise.

    ``seeds`` is how many seeds there are.
    """
    angle, others = 2 * math.pi * share, ((seed + _SECOND) % seeds, (seed + _THIRD) % seeds)
    aside, along = math.tan(RADIUS) * (1 - math.cos(angle)), math.tan(RADIUS) * math.sin(angle)
    length = math.hypot(1, aside, along)
    return ((seed, 1 / length), (others[0], aside / length), (others[1], along / length))


def blended(draws: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """A mixture of noises, as long as noise is: spherical interpolation (Shoemake 1985, White 2016).

    Independent noises are nearly at right angles; the length is set so that it does not depend on how nearly.
    """
    if len(draws) == 1:
        return draws[0]
    mixture = sum((draw * weight for draw, weight in zip(draws, weights, strict=True)), start=draws[0] * 0)
    length = math.hypot(*(_length(draw) * weight for draw, weight in zip(draws, weights, strict=True)))
    return mixture * (length / _length(mixture))


def _length(noise: Tensor) -> float:
    return math.sqrt(float((noise * noise).sum()))
