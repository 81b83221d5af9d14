"""Prompts of several lengths in one denoiser call, where the denoiser takes a mask of their tokens, as Qwen-Image's."""

# pyright: basic

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

WORDS, MASK = "encoder_hidden_states", "encoder_hidden_states_mask"


def any_length(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Hashable]:
    """A call's arguments without those that have a prompt's length, and what these share with other calls' of any."""
    if MASK not in arguments:
        return dict(arguments), None
    words: Tensor = arguments[WORDS]
    return {name: arguments[name] for name in arguments if name not in (WORDS, MASK)}, (words.dtype, words.shape[2:])


def equally_long(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls' arguments with prompts padded to the longest, and masks of what is no padding.

    They stay as they are where no prompt needs a mask, so that equal lengths are called as by the stock pipeline.
    """
    if MASK not in calls[0]:
        return list(calls)
    longest = max(call[WORDS].shape[1] for call in calls)
    if all(call[MASK] is None and call[WORDS].shape[1] == longest for call in calls):
        return list(calls)
    return [call | _padded(call[WORDS], call[MASK], longest) for call in calls]


def _padded(words: Tensor, mask: Tensor | None, longest: int) -> dict[str, Tensor]:
    room = longest - words.shape[1]
    said = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device) if mask is None else mask.bool()
    return {WORDS: pad(words, (0, 0, 0, room)), MASK: pad(said, (0, room))}
