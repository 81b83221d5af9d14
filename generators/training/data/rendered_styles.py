"""Styles that classical image processing renders of clean drawings: what the style networks that ship learn from."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Render = Callable[[Tensor, Tensor], Tensor]
"""Pictures (count, 3, height, width) from -1 to 1 and normal noise (count, 1, height, width) -> pictures."""

INK = torch.tensor([0.11, 0.10, 0.16])
PAPER = torch.tensor([0.985, 0.975, 0.945])
FAINT, CLEAR = 0.05, 0.16
"""Slopes of a colour, from one pixel to the next, at which a line begins, and is black."""
WASH = 0.16
"""How much of its colours a line drawing keeps, as a thin wash."""
FLAT = 4
"""Width in pixels of the four squares of which a watercolour takes the flattest one's mean (Kuwahara 1976)."""


def line_art(pixels: Tensor, noise: Tensor) -> Tensor:
    """Ink lines where colours change, over a thin wash of them."""
    colours = (pixels + 1) / 2
    slope = _slope(_soft(colours, 0.8)).amax(1, keepdim=True)
    ink = _rise(slope, FAINT, CLEAR)
    wash = _between(PAPER.to(pixels), _flat(colours), WASH)
    return 2 * _between(wash, INK.to(pixels), ink) - 1


def watercolour(pixels: Tensor, noise: Tensor) -> Tensor:
    """Flat washes with dark rims, uneven pigment and the grain of paper (Bousseau 2006)."""
    flat = _soft(_flat(_flat((pixels + 1) / 2)), 0.6)
    light = 0.12 + 0.86 * flat
    rims = _rise(_slope(_soft(flat, 1.0)).amax(1, keepdim=True), 0.02, 0.2)
    grain, clouds = _even(_soft(noise, 0.7)), _even(_soft(noise, 5.0))
    density = 1 + 0.75 * rims + 0.13 * grain + 0.22 * clouds
    washed = light - (light - light.square()) * (density - 1)
    return 2 * (washed * (1 + 0.012 * grain)).clamp(0, 1) * PAPER.to(pixels)[:, None, None] - 1


RENDERED: dict[str, Render] = {"line-art": line_art, "watercolour": watercolour}
"""By the name of the style."""


def _between(one: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    one, other = (part[:, None, None] if part.dim() == 1 else part for part in (one, other))
    return one + (other - one) * share


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    """From 0 below ``low`` to 1 above ``high``, smoothly."""
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _slope(values: Tensor) -> Tensor:
    """The length of each channel's gradient, by central differences."""
    wide = functional.pad(values, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return (across.square() + down.square()).sqrt()


def _soft(values: Tensor, sigma: float) -> Tensor:
    """With a Gaussian blur of ``sigma`` pixels."""
    reach = max(1, round(3 * sigma))
    weights = (-(torch.arange(-reach, reach + 1).to(values) / sigma).square() / 2).softmax(0)
    rows = functional.pad(values.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    rows = functional.conv2d(rows, weights[None, None, :, None])
    return functional.conv2d(rows, weights[None, None, None, :]).view_as(values)


def _even(noise: Tensor) -> Tensor:
    """Noise with a standard deviation of 1."""
    return noise / noise.std((-2, -1), keepdim=True)


def _flat(colours: Tensor) -> Tensor:
    """Each pixel becomes the mean of the flattest of the four squares that it is a corner of (Kuwahara 1976)."""
    reach = FLAT - 1
    wide = functional.pad(colours, (reach,) * 4, mode="replicate")
    means = functional.avg_pool2d(wide, FLAT, 1)  # of the squares to each pixel's left and above, and so on
    spread = (functional.avg_pool2d(wide.square(), FLAT, 1) - means.square()).sum(1, keepdim=True)
    height, width = colours.shape[-2:]
    corners = [(y, x) for y in (0, reach) for x in (0, reach)]
    ways = torch.stack([means[..., y : y + height, x : x + width] for y, x in corners])
    spreads = torch.stack([spread[..., y : y + height, x : x + width] for y, x in corners])
    return ways.gather(0, spreads.argmin(0, keepdim=True).expand(1, *ways.shape[1:]))[0]
