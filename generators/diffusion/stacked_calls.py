"""Makes one call of a model for many requests that wait for one."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from limner.generators.diffusion.attention_maps import AttentionMaps, watching
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.padded_words import any_length, equally_long
from limner.generators.errors import GenerationError, OutOfMemory
from limner.generators.failures import understand

Rows = Tensor | list[Tensor]
"""Samples along the first dimension, or a list of them where a model takes samples of different shapes; of a ControlNet
lists of such tensors, as it answers: one for each layer of the denoiser."""

Row = Tensor | tuple[Any, ...]
"""One sample of a model's output; of a ControlNet its tensors in tuples, as it answers."""

LAYERED = frozenset(
    {
        *("controlnet_cond", "image_embeds", "ip_adapter_image_embeds"),
        *("down_block_additional_residuals", "controlnet_block_samples", "controlnet_single_block_samples"),
        "block_controlnet_hidden_states",
    }
)
"""Arguments that are lists of tensors with samples along the first dimension: one for each ControlNet, for each
IP-Adapter, or for each layer of the denoiser."""

SHARED = frozenset({"txt_ids", "img_ids", "visual_rope_pos", "text_rope_pos", "ip_adapter_masks", "controlnet_mode"})
"""Arguments without a sample dimension that are equal for all samples of a shape (positions) or for all requests of a
`batch_key` (areas of references), or that no ControlNet here reads (modes)."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call of ``model``; its first argument has one row for each sample."""

    model: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    watched: Mapping[int, AttentionMaps] = field(default_factory=dict[int, AttentionMaps])
    """The maps of words of the rows that have some."""

    @property
    def rows(self) -> int:
        """The number of samples; a guided one counts twice."""
        return len(next(iter((*self.args, *self.kwargs.values()))))

    @property
    def time(self) -> float:
        """The timestep of the first row."""
        return float(self.kwargs["timestep"][0] if "timestep" in self.kwargs else self.args[1][0])

    @property
    def shape(self) -> Hashable:
        """Calls of one shape may be made as one."""
        kwargs, words = any_length(self.kwargs)
        return self.model, *(_shape("", each) for each in self.args), _shape("", kwargs), words

    @property
    def mixes_sizes(self) -> bool:
        """Whether its samples are a list, so that those of calls for pictures of other sizes may join it."""
        return bool(self.args) and isinstance(self.args[0], list)

    @property
    def is_control(self) -> bool:
        """Whether a ControlNet is called, whose answer the denoiser reads in the same step."""
        return isinstance(self.model, Residuals)

    def make(self) -> Rows | list[Row]:
        """Run the model; diffusers' models return a tuple with ``return_dict=False``.

        They get dictionaries of their own, since those of transformers take entries out of them.
        """
        own = self.take(0, self.rows)
        if not self.watched:
            return own.model(*own.args, **own.kwargs)[0]
        with watching(own.model, self.watched, self.kwargs["encoder_hidden_states"].shape[1]):
            return own.model(*own.args, **own.kwargs)[0]

    def fitted(self, dtype: torch.dtype) -> Call:
        """The same call in the model's precision, with one timestep per row.

        Timesteps stay in float32: schedulers differ in whether theirs are whole numbers, and rounding would move them.
        """
        return self._changed(lambda parts: _fit(parts[0], self.rows, dtype))

    def take(self, start: int, stop: int) -> Call:
        """The same call for some of the rows."""
        watched = {row - start: maps for row, maps in self.watched.items() if start <= row < stop}
        return replace(self._changed(lambda parts: parts[0][start:stop]), watched=watched)

    def pick(self, rows: Sequence[int]) -> Call:
        """The same call for these rows."""
        watched = {place: self.watched[row] for place, row in enumerate(rows) if row in self.watched}
        return replace(self._changed(lambda parts: _picked(parts[0], rows)), watched=watched)

    def join(self, others: Sequence[Call]) -> Call:
        """One call for all rows, of this call first; all have the same shape."""
        if not others:
            return self
        watched, start = dict[int, AttentionMaps](), 0
        for call in (self, *others):
            watched |= {start + row: maps for row, maps in call.watched.items()}
            start += call.rows
        return replace(self._changed(_concatenate, others), watched=watched)

    def _changed(self, change: Callable[[Sequence[Rows]], Rows], others: Sequence[Call] = ()) -> Call:
        calls = [self, *others]
        args = tuple(_walk(change, "", each) for each in zip(*(call.args for call in calls), strict=True))
        return Call(self.model, args, _walk(change, "", equally_long([call.kwargs for call in calls])))


@dataclass(frozen=True)
class Residuals:
    """A ControlNet that tells what it adds to the denoiser sample by sample."""

    controlnet: Any

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[list[Row]]:
        """A list of samples, each with its tensors in tuples as the ControlNet groups them."""
        found = self.controlnet(*args, **kwargs)
        return ([_sample(found, row) for row in range(len(_first(found)))],)


class Stacker:
    """Makes the calls of many requests as one, as large as the device's memory allows.

    Args:
        ladder: the size limit, and what to give up when it is too large.
        decoding: whether the calls are the VAE's.
    """

    def __init__(self, ladder: Ladder, *, decoding: bool) -> None:
        self._ladder = ladder
        self._decoding = decoding

    def answers(self, calls: Sequence[Call], pixels: int) -> list[Rows | GenerationError]:
        """Each call's output, or its error; the calls have one shape, their rows ``pixels`` each.

        A failing call is halved down to the rows that cause it, so that the others get their outputs.
        """
        joined = calls[0].join(calls[1:])
        size = self._ladder.rows(pixels, decoding=self._decoding)
        parts = [joined.take(start, start + size) for start in range(0, joined.rows, size)]
        rows = [row for part in parts for row in self._in_halves(part, pixels)]
        ends = [sum(call.rows for call in calls[: i + 1]) for i in range(len(calls))]
        return [_gather(rows[end - call.rows : end]) for call, end in zip(calls, ends, strict=True)]

    def _in_halves(self, call: Call, pixels: int) -> list[Row | GenerationError]:
        try:
            with self._ladder.tiling(pixels):
                return list(call.make())
        except Exception as error:
            failure = understand(error)
        # Outside the except block, whose traceback still holds the failed call's tensors.
        half = call.rows // 2
        short = isinstance(failure, OutOfMemory)
        again = short and self._ladder.give_up(call.rows, pixels, decoding=self._decoding)
        if not half:
            return self._in_halves(call, pixels) if again else [failure]
        return self._in_halves(call.take(0, half), pixels) + self._in_halves(call.take(half, call.rows), pixels)


def _walk(change: Callable[[Sequence[Rows]], Rows], name: str, values: Sequence[Any]) -> Any:
    """Map the values that have rows, at any depth; the rest is equal in all ``values``."""
    first = values[0]
    if isinstance(first, dict):
        return {key: _walk(change, key, [value[key] for value in values]) for key in first}
    if name in LAYERED and isinstance(first, list):
        return [_walk(change, "", [value[i] for value in values]) for i in range(len(first))]
    return change(values) if _has_rows(first) and not _is_shared(name, first) else first


def _is_shared(name: str, value: Any) -> bool:
    """Whether an argument has no sample dimension; FLUX.2's positions have one."""
    return name in SHARED and not (name.endswith("_ids") and value.ndim == 3)


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, list) and bool(value) and isinstance(value[0], Tensor))


def _picked(value: Rows, rows: Sequence[int]) -> Rows:
    return value[list(rows)] if isinstance(value, Tensor) else [value[row] for row in rows]


def _fit(value: Rows, rows: int, dtype: torch.dtype) -> Rows:
    if isinstance(value, list):
        return [each.to(dtype) for each in value]
    if value.ndim < 2:
        return value.float().expand(rows)
    return value.to(dtype) if value.is_floating_point() else value


def _concatenate(parts: Sequence[Rows]) -> Rows:
    tensors = [part for part in parts if isinstance(part, Tensor)]
    return torch.cat(tensors) if tensors else [row for part in parts for row in part]


def _shape(name: str, value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple((key, _shape(key, each)) for key, each in value.items())
    if isinstance(value, Tensor):
        return value.dtype, value.shape if _is_shared(name, value) else value.shape[1:]
    if name in LAYERED and isinstance(value, list):
        return tuple(_shape("", each) for each in value)
    if isinstance(value, list):
        return list if _has_rows(value) else tuple(_shape("", each) for each in value)
    return value


def _gather(rows: Sequence[Row | GenerationError]) -> Rows | GenerationError:
    answers: list[Any] = []
    for row in rows:
        if isinstance(row, GenerationError):
            return row
        answers.append(row)
    return _stacked(answers)


def _first(layers: Any) -> Tensor:
    """The first tensor of a ControlNet's answer."""
    return layers if isinstance(layers, Tensor) else _first(layers[0])


def _sample(layers: Any, row: int) -> Any:
    """One sample of a ControlNet's answer; it has none for layers that it does not know."""
    if layers is None:
        return None
    return layers[row] if isinstance(layers, Tensor) else tuple(_sample(each, row) for each in layers)


def _stacked(samples: Sequence[Any]) -> Any:
    """Samples as the model answers for all of them together."""
    if isinstance(samples[0], tuple):
        return [_stacked(parts) for parts in zip(*samples, strict=True)]
    return None if samples[0] is None else torch.stack(list(samples))
