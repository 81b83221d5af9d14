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
BLOCKS, LEVELS = 32, 4
"""Squares in a row of pixel art, and steps between the darkest and the lightest of each primary colour."""
COLD, NIGHT = torch.tensor([0.35, 0.95, 1.0]), torch.tensor([0.03, 0.02, 0.08])
"""Colours of neon: of greys' tubes, and of the dark."""
BLUE, CHALK = torch.tensor([0.10, 0.29, 0.60]), torch.tensor([0.95, 0.98, 1.0])
"""Colours of a blueprint's paper and lines."""


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


def line_drawing(pixels: Tensor, noise: Tensor) -> Tensor:
    """Dark outlines on white paper, and nothing else; as thick as the picture's side allows."""
    return 2 * _between(torch.ones(3).to(pixels), INK.to(pixels), _outlines(pixels)) - 1


def painted_paper(pixels: Tensor, noise: Tensor) -> Tensor:
    """Pale mottled washes with dark rims on paper that stays bare at its uneven edge: for pictures without grain."""
    scale = pixels.shape[-1] / 128
    flat = _soft(_flat((pixels + 1) / 2, round(FLAT * scale)), 0.6 * scale)
    rims = _rise(scale * _slope(_soft(flat, scale)).amax(1, keepdim=True), 0.02, 0.16)
    clouds = _even(_soft(noise, 5.0 * scale))
    ramp = torch.linspace(0, 1, pixels.shape[-1]).to(pixels)
    inside = torch.minimum(ramp, 1 - ramp)
    wet = _rise(torch.minimum(inside[:, None], inside) + 0.02 * clouds.clamp(-2, 2), 0.045, 0.075)
    density = wet * (0.62 + 0.5 * rims + 0.13 * clouds)
    washed = 1 - (1 - flat) * density.clamp(0, 1.1)
    return 2 * washed.clamp(0, 1) * PAPER.to(pixels)[:, None, None] - 1


def pixel_art(pixels: Tensor, noise: Tensor) -> Tensor:
    """Squares of one colour each, 32 in a row, of few and strong colours."""
    side = pixels.shape[-1] // BLOCKS
    blocks = functional.avg_pool2d((pixels + 1) / 2, side)
    grey = blocks.mean(1, keepdim=True)
    strong = (grey + 1.35 * (blocks - grey)).clamp(0, 1)
    steps = (strong * LEVELS).round() / LEVELS
    return 2 * steps.repeat_interleave(side, -1).repeat_interleave(side, -2) - 1


def neon(pixels: Tensor, noise: Tensor) -> Tensor:
    """Outlines as glowing tubes of the strongest colour beside them, on a dark ground."""
    scale = pixels.shape[-1] / 128
    lines = _outlines(pixels)
    colours = _soft((pixels + 1) / 2, 1.5 * scale)
    least, most = colours.amin(1, keepdim=True), colours.amax(1, keepdim=True)
    depth = most - least
    pure = (colours - least) / depth.clamp_min(1e-3)
    vivid = _between(COLD.to(pixels), pure, _rise(depth, 0.06, 0.2))
    glow = _soft(lines * vivid, 2.2 * scale) * 1.5 + _soft(lines * vivid, 6.0 * scale) * 1.1
    tubes = lines * (0.55 * vivid + 0.45)
    dark = NIGHT.to(pixels)[:, None, None] + 0.10 * colours * vivid
    return 2 * (1 - (1 - dark) * (1 - glow.clamp(0, 1)) * (1 - tubes)).clamp(0, 1) - 1


def blueprint(pixels: Tensor, noise: Tensor) -> Tensor:
    """White outlines on blue paper with a faint grid, eight squares in a row."""
    side = pixels.shape[-1]
    grey = (pixels.mean(1, keepdim=True) + 1) / 2
    place = torch.arange(side).to(pixels) % (side // 8)
    ruled = (place < max(1, side // 128)).to(pixels)
    grid = torch.maximum(ruled[:, None], ruled)
    paper = BLUE.to(pixels)[:, None, None] * (0.85 + 0.3 * _soft(grey, side / 128))
    paper = _between(paper, torch.ones(3).to(pixels), 0.22 * grid)
    return 2 * _between(paper, CHALK.to(pixels), _outlines(pixels)).clamp(0, 1) - 1


RENDERED: dict[str, Render] = {"line-art": line_art, "watercolour": watercolour}
"""By the name of the style."""


def _outlines(pixels: Tensor) -> Tensor:
    """From 0 to 1: where colours change, in lines whose width is a share of the picture's."""
    scale = pixels.shape[-1] / 128
    slope = scale * _slope(_soft((pixels + 1) / 2, 0.8 * scale)).amax(1, keepdim=True)
    return _rise(slope, 0.7 * FAINT, 0.75 * CLEAR)


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


def _flat(colours: Tensor, side: int = FLAT) -> Tensor:
    """Each pixel becomes the mean of the flattest of the four squares that it is a corner of (Kuwahara 1976)."""
    reach = side - 1
    wide = functional.pad(colours, (reach,) * 4, mode="replicate")
    means = functional.avg_pool2d(wide, side, 1)  # of the squares to each pixel's left and above, and so on
    spread = (functional.avg_pool2d(wide.square(), side, 1) - means.square()).sum(1, keepdim=True)
    height, width = colours.shape[-2:]
    corners = [(y, x) for y in (0, reach) for x in (0, reach)]
    ways = torch.stack([means[..., y : y + height, x : x + width] for y, x in corners])
    spreads = torch.stack([spread[..., y : y + height, x : x + width] for y, x in corners])
    return ways.gather(0, spreads.argmin(0, keepdim=True).expand(1, *ways.shape[1:]))[0]
