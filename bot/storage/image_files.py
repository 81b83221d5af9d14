"""Pictures as files: PNG with its generation parameters, alt text, and previews."""

from __future__ import annotations

from PIL import Image, PngImagePlugin

from limner.bot.limits import ALT_TEXT, cut
from limner.bot.storage.copies import JPEG_QUALITIES, encode
from limner.bot.storage.models import Job

PREVIEW_SIDE, PREVIEW_BYTES = 256, 10_000
"""Largest side (pixels) and file (bytes) of a preview: many are written, and each is shown for seconds."""


def encode_png(image: Image.Image, parameters: str) -> bytes:
    """The picture as a PNG file whose text chunk ``parameters`` says how it was made."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", parameters)  # iTXt where Latin-1 (tEXt) cannot write it
    return encode(image, "PNG", pnginfo=info)


def describe(job: Job) -> str:
    """Alt text for people who cannot see the picture: the prompt, at most 1024 characters."""
    text = " ".join((job.prompt or job.idea).split())
    return cut(text, ALT_TEXT)


def encode_preview(image: Image.Image) -> bytes:
    """A rough picture as a JPEG of at most 256x256 pixels and 10 kB."""
    small = image.convert("RGB")
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    files = (encode(small, "JPEG", quality=quality) for quality in JPEG_QUALITIES)
    return next((file for file in files if len(file) <= PREVIEW_BYTES), encode(small, "JPEG", quality=5))
