"""What an invisible mark is to survive, and how much it changes a picture: for its tests and its benchmark."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

Attack = Callable[[Image.Image], Image.Image]


def psnr(one: Image.Image, other: Image.Image) -> float:
    """How like each other two pictures are, in decibels."""
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return 10 * math.log10(255**2 / error)


def encoded(kind: str, quality: int) -> Attack:
    """Writes a picture to a file and reads it again."""

    def attack(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, kind, quality=quality)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")

    return attack


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    left, top = width // 50, height // 30
    return image.crop((left, top, left + round(0.95 * width), top + round(0.95 * height)))


ATTACKS: dict[str, Attack] = {
    "none": lambda image: image,
    "JPEG 75": encoded("JPEG", 75),
    "WebP 80": encoded("WEBP", 80),
    "half size": _halved,
    "5 % cropped": _cropped,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
}
