"""Step skipping: a picture's last denoiser output stands in for a call while its outputs change little."""

# pyright: basic

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion.stacked_calls import Call, Rows

FEWEST_STEPS = 9
"""Requests of fewer steps skip none."""
FIRST_SHARE = 0.2
"""The share of the steps at the beginning, which decide the composition, that are never skipped."""
MOST_IN_A_ROW = 3
"""Steps skipped after one another."""
LIMITS = {SkipRule.TEACACHE: 0.05, SkipRule.MAGCACHE: 0.04}
"""The relative change of a picture's output since its last call that is not worth another call."""


class _Output(NamedTuple):
    time: float
    rows: Tensor


class StepSkipping:
    """Decides for each picture of one request, from its own outputs, which denoiser calls it can do without.

    A picture's output is expected to go on changing as fast as between its last two calls. Until the change since the
    last call exceeds a limit, that call's output stands in. The papers judge by a model's inner values or calibrate
    each model; here the outputs are judged, so that every denoiser can be skipped:

    - teacache: by the relative L1 distance of two outputs (Liu et al. 2024, https://arxiv.org/abs/2411.19108).
    - magcache: by the ratio of their magnitudes (Ma et al. 2025, https://arxiv.org/abs/2506.09045).

    The first fifth of the steps and the last one are never skipped, and none in a request of few steps.

    Args:
        rule: how the change is judged.
        pictures: of the request.

    Attributes:
        skipped: outputs that needed no call.
    """

    def __init__(self, rule: SkipRule, pictures: int) -> None:
        self._rule = rule
        self._outputs: dict[tuple[int, int], list[_Output]] = {}
        self._in_a_row = [0] * pictures
        self._asked: list[int] = []
        self.skipped = 0

    def forget(self) -> None:
        """Drop all outputs: other words are denoised from here on."""
        self._outputs.clear()

    def thin(self, call: Call, step: int, steps: int, turn: int = 0) -> Call | None:
        """The call for the pictures that need one in this step; None if no picture does.

        Args:
            call: of all pictures, one row each, or two with guidance: first the unguided ones.
            step: the steps taken.
            steps: of the request.
            turn: calls of this step before; the first one decides for the others.
        """
        may_skip = steps >= FEWEST_STEPS and math.ceil(steps * FIRST_SHARE) <= step < steps - 1
        numbers = range(len(self._in_a_row))
        if turn == 0:
            self._asked = [one for one in numbers if not (may_skip and self._is_worth_skipping(one, call.time))]
        if len(self._asked) == len(numbers):
            return call
        return call.pick(self._rows(call, self._asked)) if self._asked else None

    def complete(self, call: Call, answer: Rows, turn: int = 0) -> Tensor:
        """The output for all pictures of the full ``call``, from the answer to the one that `thin` gave, if any."""
        rows = [torch.empty(0)] * call.rows
        for number in range(len(self._in_a_row)):
            outputs = self._outputs.setdefault((turn, number), [])
            if number in self._asked:
                place = self._asked.index(number)
                own = torch.stack([*answer[place :: len(self._asked)]])
                outputs[:] = [*outputs[-1:], _Output(call.time, own)]
            for row, output in zip(self._rows(call, [number]), outputs[-1].rows, strict=True):
                rows[row] = output
        if turn == 0:
            self._count()
        return torch.stack(rows)

    def _count(self) -> None:
        for number in range(len(self._in_a_row)):
            self.skipped += number not in self._asked
            self._in_a_row[number] = 0 if number in self._asked else self._in_a_row[number] + 1

    def _rows(self, call: Call, numbers: Sequence[int]) -> list[int]:
        """The rows of the pictures in the full call, in its order."""
        return [start + number for start in range(0, call.rows, len(self._in_a_row)) for number in numbers]

    def _is_worth_skipping(self, number: int, time: float) -> bool:
        outputs = self._outputs.get((0, number), [])
        if self._in_a_row[number] == MOST_IN_A_ROW or len(outputs) < 2:
            return False
        before, last = outputs
        if last.time == before.time:  # a sampler of second order asks twice
            return False
        change = self._change(before.rows, last.rows) * abs((time - last.time) / (last.time - before.time))
        return change <= LIMITS[self._rule]

    def _change(self, before: Tensor, last: Tensor) -> float:
        if self._rule == SkipRule.TEACACHE:
            return float((last - before).abs().mean() / before.abs().mean())
        return float((last.norm() / before.norm() - 1).abs())
