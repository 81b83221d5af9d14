"""Chooses the number format and the memory layout of a model's weights by timing them on the device."""

# pyright: basic

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import diffusers
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from limner.generators.cards.model_card import ModelCard
from limner.generators.device import title_of
from limner.generators.diffusion.batch_size import GAIN
from limner.generators.diffusion.pipelines import pick_dtype
from limner.generators.errors import GenerationError, error_site
from limner.generators.measured import Measured

log = logging.getLogger(__name__)

FASTEST = "fastest"
"""The value of ``dtype`` for which formats are timed."""

CHANNELS_LAST = "channels-last"


class Format(NamedTuple):
    """How a denoiser keeps its weights: torch's name of the number format, and whether a pixel's channels lie together.

    Only convolutions are quicker with the channels last, so transformers are left as they are.
    """

    dtype: str
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Its name among the measurements."""
        return f"{self.dtype} {CHANNELS_LAST}" if self.channels_last else self.dtype

    def apply(self, pipe: DiffusionPipeline) -> None:
        """Lay out a loaded pipeline's UNet."""
        if self.channels_last and hasattr(pipe, "unet"):
            pipe.unet.to(memory_format=torch.channels_last)


def fastest_format(
    card: ModelCard, device: torch.device, measured: Measured, pace: Callable[[Format], float]
) -> Format:
    """The format in which a sample's step takes least time; the usual one unless another saves `GAIN` of it.

    It is measured once for each device, model and version of the libraries, since that loads the model in each format.

    Args:
        card: the model.
        device: where it will run.
        measured: where the times are kept, by the formats' names.
        pace: the seconds of a sample's step in a format; raises GenerationError if it cannot paint in it.
    """
    usual = pick_dtype("auto", device)
    formats = [Format(str(dtype).removeprefix("torch."), last) for dtype in _dtypes(usual) for last in (False, True)]
    key = f"{title_of(device)}|{card.source}|{card.width}x{card.height}|{card.quantize}"
    key += f"|torch {torch.__version__}|diffusers {diffusers.__version__}"
    kept = measured.get("formats", key)
    names = {each.name: each for each in formats}
    if isinstance(kept, dict) and kept.get("chosen") in names:
        return names[kept["chosen"]]
    times = dict(_times(card, formats, pace))
    chosen = first = formats[0]
    if first in times:  # a model that cannot be tried, as it paints from pictures only, keeps the usual one
        best = min(times, key=times.__getitem__)
        chosen = best if times[best] < (1 - GAIN) * times[first] else first
    seconds = {one.name: each for one, each in times.items()}
    measured.put("formats", key, {"chosen": chosen.name, "seconds": seconds})
    return chosen


def _dtypes(usual: torch.dtype) -> list[torch.dtype]:
    """What may be quicker than the usual one; half precision of other devices is the quickest there is."""
    return [usual, torch.bfloat16] if usual == torch.float32 else [usual]


def _times(
    card: ModelCard, formats: Iterable[Format], pace: Callable[[Format], float]
) -> Iterator[tuple[Format, float]]:
    """The formats that the model paints in, with their times."""
    for one in formats:
        try:
            seconds = pace(one)
        except GenerationError as error:
            log.warning("format_not_measured model=%s format=%r reason=%s", card.name, one.name, error_site(error))
        else:
            log.info("format_measured model=%s format=%r seconds_each=%.4f", card.name, one.name, seconds)
            yield one, seconds
