"""A visible label in the lower right corner of pictures, if the operator wants one."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

LEAST_SIDE = 128
"""Pixels of the shorter side; a label would hide too much of smaller pictures."""
_SHARE, _LEAST_SIZE, _EDGE = 28, 12, 0.5
"""The picture's height by the letters' height, the least of these in pixels, and the distance to the edges by it."""


def labelled(image: Image.Image, text: str) -> Image.Image:
    """The picture with a text in white and black, which any ground lets read; as it is if it is too small."""
    if min(image.size) < LEAST_SIDE:
        return image
    result = image.convert("RGB")
    size = max(_LEAST_SIZE, image.height // _SHARE)
    place = image.width - _EDGE * size, image.height - _EDGE * size
    font, stroke = ImageFont.load_default(size), max(1, size // 10)
    ImageDraw.Draw(result).text(place, text, "white", font, "rb", stroke_width=stroke, stroke_fill="black")
    return result
