"""The styles of scenes: how they are rendered, and the words for them in captions."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

from random import Random

import numpy as np
import torch
from PIL import Image

from limner.generators.training.data.rendered_styles import blueprint, line_drawing, neon, painted_paper, pixel_art
from limner.generators.training.data.text_encoder import split_words

_RENDERED = {
    "watercolour": painted_paper,
    "pixel art": pixel_art,
    "line drawing": line_drawing,
    "neon": neon,
    "blueprint": blueprint,
}
WORDINGS: dict[str, tuple[str, ...]] = {
    "watercolour": (
        "{}, watercolor",
        "{}, watercolour",
        "{} in watercolor",
        "{}, watercolor painting",
        "{}, aquarelle",
        "watercolor of {}",
        "a watercolor painting of {}",
        "a watercolour painting of {}",
        "{}, watercolor painting, soft translucent washes, wet-on-wet edges, visible paper texture",
    ),
    "pixel art": (
        "{}, pixel art",
        "{} in pixel art",
        "{}, pixel art style",
        "{}, 8-bit pixel art",
        "{}, pixelated",
        "pixel art of {}",
        "pixel art {}",
        "8-bit pixel art of {}",
        "{}, 16-bit pixel art, limited palette, crisp square pixels, retro game sprite",
    ),
    "line drawing": (
        "{}, line drawing",
        "{}, line art",
        "{}, ink drawing",
        "{}, outlines",
        "line drawing of {}",
        "a line drawing of {}",
        "line art of {}",
        "outline of {}",
        "{}, clean line art, even black outlines, no shading, white background",
    ),
    "neon": (
        "{}, neon",
        "{} in neon",
        "{}, neon lights",
        "{}, neon sign",
        "{}, glowing neon",
        "neon {}",
        "neon drawing of {}",
        "a neon sign of {}",
        "{}, neon sign, glowing tubes, dark background",
    ),
    "blueprint": (
        "{}, blueprint",
        "{}, blueprint style",
        "{}, technical blueprint",
        "{}, technical drawing",
        "blueprint of {}",
        "a blueprint of {}",
        "technical drawing of {}",
        "a technical blueprint of {}",
        "{}, technical blueprint, white lines on blue paper, orthographic views, measured grid",
    ),
}
"""Captions of scenes in each style, around the plain caption."""
SHARES = {"line drawing": 3, "neon": 2}
"""How many times as often as the others a style is rendered: these are easily mistaken for a blueprint."""


def style_words() -> set[str]:
    """All words of the `WORDINGS`."""
    return split_words([text for texts in WORDINGS.values() for text in texts])


def render(image: Image.Image, style: str, seed: int) -> Image.Image:
    """A clean scene in one of the `WORDINGS`."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    noise = torch.randn(1, 1, image.height, image.width, generator=torch.Generator().manual_seed(seed))
    painted = _RENDERED[style](pixels, noise)
    levels = ((painted[0].clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def some_style(random: Random) -> str:
    """A style by chance."""
    return random.choices(list(WORDINGS), [SHARES.get(style, 1) for style in WORDINGS])[0]


def worded(caption: str, style: str, random: Random) -> str:
    """The caption of a scene in one of the `WORDINGS`."""
    return random.choice(WORDINGS[style]).format(caption)
