"""Smaller copies of stored pictures. Imports little, because it runs in a new process for each picture."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageFont

JPEG_QUALITIES = (92, 80, 65, 50, 35, 20)
COPY_QUALITY = 85
BLURRED_PARTS = 12
"""How often the radius of a blur fits into the longer side."""

MOST_LOSSLESS = 2048 * 2048
"""Most pixels for which lossless WebP is tried: larger pictures take many seconds and a third of a gigabyte."""
LOSSLESS_GAIN = 1.5
"""Lossless WebP is tried for PNG files of up to this many times the allowed size."""

_EXIF_FOLDER, _USER_COMMENT = 0x8769, 0x9286


def fit(png: bytes, most: int) -> tuple[str, bytes] | None:
    """The best file of a picture within so many bytes, with its extension; None if none is small enough.

    The file itself, lossless WebP, or JPEG of falling quality. All of them carry the generation parameters and the
    digital source type (XMP); if the parameters are what is too large, JPEG without them.
    """
    if len(png) <= most:
        return "png", png
    image = Image.open(io.BytesIO(png))
    exif, xmp = _comment(image.info.get("parameters", "")), image.info.get("xmp", b"")
    if len(png) <= LOSSLESS_GAIN * most and image.width * image.height <= MOST_LOSSLESS:
        lossless = encode(image, "WEBP", lossless=True, exif=exif, xmp=xmp)
        if len(lossless) <= most:
            return "webp", lossless
    flat = image.convert("RGB")
    files = (
        encode(flat, "JPEG", quality=quality, optimize=True, exif=written, xmp=xmp)
        for written in (exif, Image.Exif())
        for quality in JPEG_QUALITIES
    )
    return next((("jpg", file) for file in files if len(file) <= most), None)


def small_copy(png: bytes, side: int, kind: str, *, is_blurred: bool = False) -> bytes:
    """A copy of at most so many pixels a side, as a file of the ``kind`` JPEG or WEBP, with the digital source type.

    A blurred one shows colours and no details.
    """
    image = Image.open(io.BytesIO(png))
    small = image.convert("RGB")
    small.thumbnail((side, side))
    if is_blurred:
        small = small.filter(ImageFilter.GaussianBlur(max(small.size) / BLURRED_PARTS))
    return encode(small, kind, quality=COPY_QUALITY, xmp=image.info.get("xmp", b""))


def under_grid(png: bytes, side: int, rows: str, columns: str) -> bytes:
    """A JPEG copy under a grid of cells with their names, in white and black so that any picture lets them be read."""
    small = Image.open(io.BytesIO(png)).convert("RGB")
    scale = side / max(small.size)
    small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))))
    draw, width, height = ImageDraw.Draw(small), small.width / len(columns), small.height / len(rows)
    for thickness, colour in ((5, "black"), (1, "white")):
        for number in range(1, len(columns)):
            draw.line((number * width, 0, number * width, small.height), colour, thickness)
        for number in range(1, len(rows)):
            draw.line((0, number * height, small.width, number * height), colour, thickness)
    font = ImageFont.load_default(max(12, min(width, height) / 4))
    for down, row in enumerate(rows):
        for across, column in enumerate(columns):
            middle = ((across + 0.5) * width, (down + 0.5) * height)
            draw.text(middle, row + column, "white", font, "mm", stroke_width=3, stroke_fill="black")
    return encode(small, "JPEG", quality=COPY_QUALITY)


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
