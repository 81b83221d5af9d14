"""Control pictures made from any picture: Canny edges, and a sketch of its outlines."""

# pyright: basic

from __future__ import annotations

import numpy as np
from PIL import Image

LOW, HIGH = 100 / 255, 200 / 255
"""Thresholds of the gradient, those that the ControlNets for Canny edges were trained with (Zhang et al. 2023)."""
FINE, COARSE = 0.5, 5.0
"""Widths in pixels of the two blurs whose difference is an outline, as ControlNet's XDoG annotator has them."""
DARKER = 16 / 255
"""By how much a pixel of an outline is darker than what is around it."""


def edges(image: Image.Image) -> Image.Image:
    """White edges on black, by Canny's detector (Canny 1986)."""
    from skimage.feature import canny  # scipy's import takes half a second

    found = canny(_grey(image), sigma=1.0, low_threshold=LOW, high_threshold=HIGH)
    return _white(found)


def sketch(image: Image.Image) -> Image.Image:
    """White outlines on black, by a difference of Gaussians (Winnemöller et al. 2012)."""
    from skimage.filters import gaussian

    colours = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    around, here = (gaussian(colours, sigma, channel_axis=-1) for sigma in (COARSE, FINE))
    return _white((around - here).min(axis=-1) > DARKER)


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=np.float64) / 255


def _white(found: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(found, 255, 0).astype(np.uint8)).convert("RGB")
