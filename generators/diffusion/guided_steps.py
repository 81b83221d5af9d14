"""Guidance in a part of the steps: outside of it a request asks the denoiser for its guided rows only."""

# pyright: basic

from __future__ import annotations

import torch
from torch import Tensor

from limner.generators.cards.guided_part import GuidedPart
from limner.generators.diffusion.stacked_calls import Call, Rows


class GuidedSteps:
    """Leaves the unguided rows out of a request's calls in the steps without guidance.

    As Kynkäänniemi et al. 2024, https://arxiv.org/abs/2404.07724. The loop gets the rows for the prompt in place of the
    unguided ones; so guidance adds nothing, whatever its scale.

    Args:
        part: where guidance begins and ends, as shares of the steps.
        pictures: of the request.
    """

    def __init__(self, part: GuidedPart, pictures: int) -> None:
        self._part = part
        self._pictures = pictures

    def thin(self, call: Call, step: int, steps: int) -> Call:
        """The call for the rows of the prompt in a step without guidance, or the whole call.

        Args:
            call: one row for each picture, or two with guidance: first the unguided ones.
            step: the steps taken.
            steps: of the request.
        """
        start, stop = self._part
        if call.rows == self._pictures or start * steps <= step < stop * steps:
            return call
        return call.pick(range(self._pictures, call.rows))


def twice(answer: Rows) -> Tensor:
    """The output for all rows of a call, from that for the prompt's rows."""
    rows = torch.stack([*answer])
    return torch.cat([rows, rows])
