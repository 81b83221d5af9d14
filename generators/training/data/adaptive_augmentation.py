"""Changes that a critic sees pictures under, as often as it would learn them by heart otherwise (Karras 2020).

"Training Generative Adversarial Networks with Limited Data", arXiv 2006.06676: the pixel blitting, geometric and colour
changes of its appendix B, in its order and with its spreads. Its filters and its noise, which it found to be of no use,
are left out.
"""

# pyright: basic

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

TARGET = 0.6
"""The mean sign of the critic's scores of real pictures that the probability is led by: more means overfitting."""
MOST = 0.8
"""The highest probability: above it, changes begin to show in what is painted."""
RISE = 20_000
"""Pictures in which the probability can rise from 0 to 1; the paper's 500,000 are for trainings of 25 million."""
EVERY = 4
"""Steps whose scores are looked at together."""


class Augmentation(nn.Module):
    """Changes pictures by chance, differentiably; each kind of change with the same probability.

    Probability and scores are buffers, and so part of the checkpoint.
    """

    probability: Tensor
    signs: Tensor
    """Of the real pictures since the last look: sum of the scores' signs, number of pictures, number of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(3))

    def forward(self, pixels: Tensor, random: torch.Generator) -> Tensor:
        """Change pictures (count, 1 or 3, side, side) of -1 to 1; one that no change was drawn for stays as it is."""
        count, channels, side, _ = pixels.shape
        probability = float(self.probability)
        moves = draw_moves(count, side, probability, random)  # (count, 3, 3)
        colours = draw_colours(count, channels, probability, random)  # (count, 4, 4)
        return recolour(move(pixels, moves), colours)

    @torch.no_grad()
    def adapt(self, scores: Tensor) -> None:
        """Look at the critic's scores (count) of real pictures, of all processes, and lead the probability by them."""
        seen = torch.stack([scores.sign().sum(), scores.new_tensor(len(scores))]).to(self.signs)
        if dist.is_initialized():
            dist.all_reduce(seen)
        self.signs[:2] += seen
        self.signs[2] += 1
        if int(self.signs[2]) == EVERY:
            overfitting = self.signs[0] / self.signs[1]
            change = torch.sign(overfitting - TARGET) * self.signs[1] / RISE
            self.probability.copy_((self.probability + change).clamp(0, MOST))
            self.signs.zero_()


def draw_moves(count: int, side: int, probability: float, random: torch.Generator) -> Tensor:
    """Where each point of a changed picture (-1 to 1 across) was before: (count, 3, 3)."""

    def chosen(values: Tensor, neutral: float, often: float = probability) -> Tensor:
        drawn = torch.rand(count, generator=random) < often
        return torch.where(drawn if values.ndim == 1 else drawn[:, None], values, neutral)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random)

    def turn() -> Tensor:
        angle = (2 * torch.rand(count, generator=random) - 1) * math.pi
        return _turn(chosen(angle, 0, 1 - math.sqrt(1 - probability)))  # of two turns, one this often

    ones = torch.ones(count)
    mirrored = chosen(1.0 - 2 * torch.randint(2, (count,), generator=random), 1)
    quarters = chosen(torch.randint(4, (count,), generator=random) * (math.pi / 2), 0)
    pixels = ((torch.rand(count, 2, generator=random) - 0.5) * 0.25 * side).round() * 2 / side
    steps = [_scale(mirrored, ones), _turn(quarters), _shift(chosen(pixels, 0))]
    size = chosen((0.2 * normal()).exp2(), 1)
    steps += [_scale(size, size), turn()]
    width = chosen((0.2 * normal()).exp2(), 1)
    steps += [_scale(width, 1 / width), turn(), _shift(chosen(2 * 0.125 * normal(2), 0))]
    return _product(steps)


def draw_colours(count: int, channels: int, probability: float, random: torch.Generator) -> Tensor:
    """What becomes of each colour (red, green, blue, 1): (count, 4, 4)."""

    def chosen(values: Tensor, neutral: float) -> Tensor:
        return torch.where(torch.rand(count, generator=random) < probability, values, neutral)

    def normal() -> Tensor:
        return torch.randn(count, generator=random)

    every = torch.eye(4).expand(count, 4, 4)
    grey = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
    luma = torch.outer(grey, grey)  # (4, 4)
    brighter = every.clone()
    brighter[:, :3, 3] = chosen(0.2 * normal(), 0)[:, None]
    contrast = every.clone()
    contrast[:, range(3), range(3)] = chosen((0.5 * normal()).exp2(), 1)[:, None]
    flipped = chosen(torch.randint(2, (count,), generator=random).float(), 0)
    steps = [brighter, contrast, every - 2 * flipped[:, None, None] * luma]
    if channels == 3:
        steps.append(_turn_hue(chosen((2 * torch.rand(count, generator=random) - 1) * math.pi, 0)))
        saturation = chosen(normal().exp2(), 1)[:, None, None]
        steps.append(every + (saturation - 1) * (torch.diag(torch.tensor([1.0, 1, 1, 0])) - luma))
    return _product(steps[::-1])


def _product(steps: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.matmul, steps)


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))


def _turn(angle: Tensor) -> Tensor:
    cos, sin, no = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack([cos, -sin, no, sin, cos, no, no, no, no + 1], 1).view(-1, 3, 3)


def _shift(by: Tensor) -> Tensor:
    moves = torch.eye(3).repeat(len(by), 1, 1)
    moves[:, :2, 2] = by
    return moves


def _turn_hue(angle: Tensor) -> Tensor:
    """A turn about the axis of the greys, by Rodrigues' formula."""
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = (part[:, None, None] for part in (angle.cos(), angle.sin()))
    turns = torch.eye(4).repeat(len(angle), 1, 1)
    turns[:, :3, :3] = cos * torch.eye(3) + sin * across + (1 - cos) / 3
    return turns


def move(pixels: Tensor, moves: Tensor) -> Tensor:
    """Pixels (count, channels, side, side); what comes in from outside is what lies inside, mirrored."""
    grid = functional.affine_grid(moves[:, :2].to(pixels), list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    stays = (moves == torch.eye(3)).all(-1).all(-1).to(pixels.device)  # (count)
    return torch.where(stays[:, None, None, None], pixels, moved)


def recolour(pixels: Tensor, colours: Tensor) -> Tensor:
    """Pixels (count, channels, side, side); a grey picture has the mean of what would become of its three colours."""
    rows = colours[:, :3].to(pixels)  # (count, 3, 4)
    if pixels.shape[1] == 1:
        rows = rows.mean(1, keepdim=True)
        return pixels * rows[:, :, :3].sum(2)[..., None, None] + rows[:, :, 3][..., None, None]
    return torch.einsum("nij,njhw->nihw", rows[:, :, :3], pixels) + rows[:, :, 3][..., None, None]
