"""Pictures as files: PNG that tells how it was made, alt text, and previews."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from PIL import Image, PngImagePlugin

from limner.bot.limits import ALT_TEXT, cut
from limner.bot.storage.copies import JPEG_QUALITIES, encode
from limner.bot.storage.models import Job
from limner.generators.base import ModelCard

PREVIEW_SIDE, PREVIEW_BYTES = 256, 10_000
"""How large a preview is at most, in pixels and in bytes: many are written, and each is seen for seconds."""


def encode_png(image: Image.Image, parameters: str) -> bytes:
    """The picture as a PNG file whose text chunk ``parameters`` says how it was made."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", parameters)  # iTXt where Latin-1 (tEXt) cannot write it
    return encode(image, "PNG", pnginfo=info)


def parameters(job: Job, card: ModelCard, seed: int) -> str:
    """How a picture was made, in the form that AUTOMATIC1111's web UI began and most tools read.

    The prompt; a line with the negative prompt, if any; and a last line of ``Key: value`` pairs.
    """
    request = job.generation
    pairs = {
        "Steps": request.num_inference_steps,
        "Sampler": request.scheduler or _scheduler(card),
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
        "LoRA": request.worn,
        "Version": f"Limner {version('limner')}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    return with_pairs("\n".join(lines) + "\n", pairs)


def with_pairs(parameters: str, pairs: Mapping[str, object]) -> str:
    """The parameters with more ``Key: value`` pairs at the end of their last line."""
    said = ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value != "")
    return parameters + (", " if said and not parameters.endswith("\n") else "") + said


def describe(job: Job) -> str:
    """Alt text for people who cannot see the picture: what was painted, at most 1024 characters."""
    text = " ".join((job.prompt or job.idea).split())
    return cut(text, ALT_TEXT)


def encode_preview(image: Image.Image) -> bytes:
    """A rough picture as a JPEG of at most 256x256 pixels and 10 kB."""
    small = image.convert("RGB")
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    files = (encode(small, "JPEG", quality=quality) for quality in JPEG_QUALITIES)
    return next((file for file in files if len(file) <= PREVIEW_BYTES), encode(small, "JPEG", quality=5))


def _scheduler(card: ModelCard) -> str:
    """The model's own scheduler; empty if its folder does not tell, as for a name on the hub."""
    config = Path(card.source) / "scheduler" / "scheduler_config.json"
    return json.loads(config.read_text(encoding="utf-8")).get("_class_name", "") if config.is_file() else ""


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
