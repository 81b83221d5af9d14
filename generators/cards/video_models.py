"""Models that paint whole videos from words: which pipelines do, and what their folders say of frames and sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from limner.generators.animation import LEAST_FRAMES, MOST_FRAMES, Animation

VIDEOS = frozenset({"AnimateDiffPipeline", "LTXPipeline", "WanPipeline"})
"""diffusers pipelines that paint videos from words, and are proven to paint the stock video here."""
_MOTION = 32
"""Frames that AnimateDiff's motion modules were trained to tell apart, where their configuration does not say it."""


@dataclass(frozen=True)
class VideoFrames:
    """How many frames a model's videos have: one more than a multiple of ``step``, at most ``most``.

    ``rate`` is how many of them its videos show in a second.
    """

    step: int
    most: int
    rate: int

    @property
    def counts(self) -> range:
        """How many frames a video may have."""
        first = self.step * math.ceil((LEAST_FRAMES - 1) / self.step) + 1
        return range(first, min(self.most, MOST_FRAMES) + 1, self.step)

    def nearest(self, frames: int) -> int:
        """The possible number of frames that is nearest to the wanted one; of two the larger."""
        return min(self.counts, key=lambda count: (abs(count - frames), -count))

    def video(self, frames: int, *, swings: bool = False) -> Animation:
        """A video of so many frames, a possible number."""
        return Animation(frames, swings, is_video=True, rate=self.rate)

    @property
    def shortest(self) -> Animation:
        """The shortest video, by which the model is tried out and measured."""
        return self.video(self.counts[0])


def video_frames(pipeline: str | None, tables: Mapping[str, Mapping[str, Any]]) -> VideoFrames | None:
    """The frames of a model's videos; None for one that paints pictures.

    Args:
        pipeline: the class of its stock pipeline.
        tables: the JSON files of its diffusers folder, by their paths in it.
    """
    vae, unet = tables.get("vae/config.json", {}), tables.get("unet/config.json", {})
    match pipeline:
        case "AnimateDiffPipeline":
            motion = {**unet, **tables.get("motion_adapter/config.json", {})}
            return VideoFrames(1, _whole(motion.get("motion_max_seq_length"), LEAST_FRAMES, _MOTION), 8)
        case "LTXPipeline":
            return VideoFrames(_ltx_ratio(vae, "temporal_compression_ratio", "patch_size_t", 1), MOST_FRAMES, 25)
        case "WanPipeline":
            rate = 24 if _is_wan_5b(tables) else 16
            return VideoFrames(_whole(vae.get("scale_factor_temporal"), 1, 4), MOST_FRAMES, rate)
        case _:
            return None


def video_fields(pipeline: str | None, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Fields of `ModelCard` that a video family has in common, as its stock pipeline's call has them by default.

    Sizes are those that the models were trained for, in steps that the denoiser and the stock pipeline take.
    """
    vae, transformer = tables.get("vae/config.json", {}), tables.get("transformer/config.json", {})
    match pipeline:
        case "AnimateDiffPipeline":
            sized = isinstance(tables.get("unet/config.json", {}).get("sample_size"), int)
            return {"guidance_scale": 7.5} | ({} if sized else {"width": 512, "height": 512})
        case "LTXPipeline":
            step = _ltx_ratio(vae, "spatial_compression_ratio", "patch_size", 4)
            step *= _whole(transformer.get("patch_size"), 1, 1)
            return {"width": 704, "height": 512, "multiple_of": math.lcm(32, step), "guidance_scale": 3.0}
        case "WanPipeline":
            width, height = (1280, 704) if _is_wan_5b(tables) else (832, 480)
            step = 2 * _whole(vae.get("scale_factor_spatial"), 1, 8)
            return {"width": width, "height": height, "multiple_of": math.lcm(16, step), "guidance_scale": 5.0}
        case _:
            return {}


def _is_wan_5b(tables: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it is Wan 2.2's model of 5 billion parameters, the only one with a timestep for each part of a video."""
    return tables.get("model_index.json", {}).get("expand_timesteps") is True


def _ltx_ratio(vae: Mapping[str, Any], said: str, patch: str, usual: int) -> int:
    """How many pixels or frames one latent of LTX's autoencoder stands for, by the rule of diffusers."""
    scaling = vae.get("spatio_temporal_scaling")
    halved = sum(map(bool, cast("list[Any]", scaling)[:6])) if isinstance(scaling, list) else 3
    return _whole(vae.get(said), 1, _whole(vae.get(patch), 1, usual) * 2**halved)


def _whole(value: Any, least: int, usual: int) -> int:
    """A number of a configuration; the usual one where there is none that makes sense."""
    is_sensible = isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1024
    return value if is_sensible else usual
