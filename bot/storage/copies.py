"""Smaller copies of stored pictures. Imports little, because it runs in a new process for each picture."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

JPEG_QUALITIES = (92, 80, 65, 50, 35, 20)
COPY_QUALITY = 85

MOST_LOSSLESS = 2048 * 2048
"""Most pixels for which lossless WebP is tried: larger pictures take many seconds and a third of a gigabyte."""
LOSSLESS_GAIN = 1.5
"""Lossless WebP is tried for PNG files of up to this many times the allowed size."""

_EXIF_FOLDER, _USER_COMMENT = 0x8769, 0x9286


def fit(png: bytes, most: int) -> tuple[str, bytes] | None:
    """The best file of a picture within so many bytes, with its extension; None if none is small enough.

    The file itself, lossless WebP, or JPEG of falling quality. All of them carry the generation parameters.
    """
    if len(png) <= most:
        return "png", png
    image = Image.open(io.BytesIO(png))
    exif = _comment(image.info.get("parameters", ""))
    if len(png) <= LOSSLESS_GAIN * most and image.width * image.height <= MOST_LOSSLESS:
        lossless = encode(image, "WEBP", lossless=True, exif=exif)
        if len(lossless) <= most:
            return "webp", lossless
    flat = image.convert("RGB")
    files = (encode(flat, "JPEG", quality=quality, optimize=True, exif=exif) for quality in JPEG_QUALITIES)
    return next((("jpg", file) for file in files if len(file) <= most), None)


def small_copy(png: bytes, side: int, kind: str) -> bytes:
    """A copy of at most so many pixels a side, as a file of the ``kind`` JPEG or WEBP."""
    small = Image.open(io.BytesIO(png)).convert("RGB")
    small.thumbnail((side, side))
    return encode(small, kind, quality=COPY_QUALITY)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of one of Pillow's kinds."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _comment(text: str) -> Image.Exif:
    """EXIF with a user comment, which is where the same tools look in files that have no text chunks."""
    exif = Image.Exif()
    exif.get_ifd(_EXIF_FOLDER)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif
