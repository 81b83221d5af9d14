"""Augments captioned pictures, and adapts the caption."""

# pyright: basic

from __future__ import annotations

import re
from random import Random

from PIL import Image, ImageEnhance

_MIRRORED = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDES = re.compile(r"\b(" + "|".join(_MIRRORED) + r")\b", re.IGNORECASE)
_LETTERED = re.compile(r"\b(text|letters?|words?|writing|sign|number|digit|clock)\b|[\"“]", re.IGNORECASE)
_COLOURED = re.compile(r"\b(bright|dark|pale|light|vivid|grey|gray|black|white)\b", re.IGNORECASE)


def augment(image: Image.Image, text: str, random: Random) -> tuple[Image.Image, str]:
    """One variant: randomly mirrored, zoomed, brightened or saturated.

    Mirroring swaps left and right in the caption, and is left out where the picture has text. Light and colour stay if
    the caption mentions them.
    """
    if not _LETTERED.search(text) and random.random() < 0.5:
        image, text = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), mirror(text)
    cut = round(min(image.size) * random.uniform(0, 0.1))
    left, top = random.randint(0, cut), random.randint(0, cut)
    box = (left, top, image.width - cut + left, image.height - cut + top)
    image = image.resize(image.size, Image.Resampling.LANCZOS, box=box)
    if not _COLOURED.search(text):
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.9, 1.1))
        image = ImageEnhance.Color(image).enhance(random.uniform(0.85, 1.15))
    return image, text


def mirror(text: str) -> str:
    """The caption of the mirrored picture."""
    return _SIDES.sub(lambda match: _MIRRORED[match[0].lower()], text)
