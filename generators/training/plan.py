"""What a training is: how long and how fast it learns, from which pictures, and by which loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast to learn; the same plan and data give the same weights, however often it was stopped.

    ``samples`` in all, ``batch`` of them in a step; the learning rate rises over ``warmup`` steps and falls to zero in
    the last ``decay`` part. ``ema`` is how much of the moving average stays at each step; ``momentum`` is Adam's first
    beta. With an ``accumulation`` of 2 a step's gradient is summed up over two halves of its pictures, and so on.
    A checkpoint is written every ``checkpoint_seconds``; ``tensorboard`` asks for event files beside losses.csv.
    """

    samples: int
    batch: int
    learning_rate: float
    warmup: int = 300
    decay: float = 0.2
    ema: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    momentum: float = 0.9
    seed: int = 0
    accumulation: int = 1
    checkpoint_seconds: float = 300.0
    tensorboard: bool = False

    @property
    def steps(self) -> int:
        """How many steps there are in all."""
        return math.ceil(self.samples / self.batch)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1.0, self.steps * self.decay)
        return self.learning_rate * min(1.0, rise, fall)


class Loss(NamedTuple):
    """The mean loss of some pictures (a scalar), and the numbers that are noted beside it, by name.

    A part is noted as it is, before the loss weights it.
    """

    total: Tensor
    parts: Mapping[str, Tensor]


class Task(Protocol):
    """A family's network, and the loss of some pictures."""

    family: str
    parts: tuple[str, ...]
    """The names of what `loss` notes, in the order of the columns of losses.csv."""
    network: nn.Module
    size: int
    """How many pictures there are to learn from."""
    fingerprint: str
    """Of the pictures and captions."""
    progress: float
    """How much of the plan is done, from 0 to 1; the trainer says it before each step."""

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The mean loss of the pictures with these numbers; all chance comes from ``random``."""
        ...

    def sample(self) -> Image.Image:
        """A sheet that shows what the network has learnt."""
        ...
