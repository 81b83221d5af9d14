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
        prompt_first: whether the prompt's rows are the first half of a call, and not the second.
    """

    def __init__(self, part: GuidedPart, pictures: int, prompt_first: bool) -> None:
        self._part = part
        self._pictures = pictures
        self._prompt_first = prompt_first

    def is_unguided(self, step: int, steps: int) -> bool:
        """Whether the step has no guidance, or none yet.

        Args:
            step: the steps taken.
            steps: of the request.
        """
        start, stop = self._part
        return not start * steps <= step < stop * steps

    def thin(self, call: Call) -> Call:
        """The call for the rows of the prompt; ``call`` has one row for each picture, or two with guidance."""
        if call.rows == self._pictures:
            return call
        start = 0 if self._prompt_first else self._pictures
        return call.pick(range(start, start + self._pictures))


def twice(answer: Rows) -> Tensor:
    """The output for all rows of a call, from that for the prompt's rows."""
    rows = torch.stack([*answer])
    return torch.cat([rows, rows])
