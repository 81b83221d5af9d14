"""Image-to-image networks: of CycleGAN, and of single styles."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.vision.restoration_network import ResidualBlock

STRIDE = 4
"""Sides of a picture are multiples of this."""


@dataclass(frozen=True)
class Depth:
    """The sizes of a network.

    Attributes:
        width: channels of a translator at full resolution, with twice and four times as many below it; or of a style
            network at half the resolution.
        blocks: residual blocks, of a translator at a quarter of the resolution.
    """

    width: int
    blocks: int


class Translator(nn.Sequential):
    """Turns pictures (-1 to 1, sides multiples of 4) into pictures of the same size (Johnson 2016, Zhu 2017).

    It resizes and then convolves, which avoids checkerboard artefacts (Odena 2016), where the paper uses transposed
    convolutions.
    """

    def __init__(self, depth: Depth) -> None:
        fine, middle, coarse = depth.width, 2 * depth.width, 4 * depth.width
        super().__init__(
            nn.ReflectionPad2d(3),
            *_layer(nn.Conv2d(3, fine, 7)),
            *_layer(nn.Conv2d(fine, middle, 3, 2, 1)),
            *_layer(nn.Conv2d(middle, coarse, 3, 2, 1)),
            *(_Residual(coarse) for _ in range(depth.blocks)),
            nn.Upsample(scale_factor=2),
            *_layer(nn.Conv2d(coarse, middle, 3, 1, 1)),
            nn.Upsample(scale_factor=2),
            *_layer(nn.Conv2d(middle, fine, 3, 1, 1)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(fine, 3, 7),
            nn.Tanh(),
        )


class StyleNetwork(nn.Module):
    """Gives pictures (-1 to 1, even sides) one style: what it finds is added to the picture (Johnson 2016).

    Residual convolutions without normalisation (EDSR, Lim 2017) at half of the picture's side, into which it is folded
    (FFDNet, Zhang 2018) beside noise, of which textures such as a paper's grain are made (Ulyanov 2016). Untrained, it
    changes nothing.
    """

    def __init__(self, depth: Depth) -> None:
        super().__init__()
        self.first = nn.Conv2d(16, depth.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(depth.width) for _ in range(depth.blocks)))
        self.last = nn.Conv2d(depth.width, 12, 3, padding=1)
        for part in self.last.parameters():
            nn.init.zeros_(part)

    def forward(self, pixels: Tensor, noise: Tensor) -> Tensor:
        """Pictures (count, 3, height, width) and normal noise (count, 1, height, width) -> pictures."""
        folded = functional.pixel_unshuffle(torch.cat([pixels, noise], 1), 2)  # (count, 16, height / 2, width / 2)
        return pixels + functional.pixel_shuffle(self.last(self.blocks(self.first(folded))), 2)


class PatchCritic(nn.Sequential):
    """Scores each patch of a picture (Isola 2017): 1 is real, 0 is not."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            *_judge(width, 2 * width, 2),
            *_judge(2 * width, 4 * width, 1),
            nn.Conv2d(4 * width, 1, 4, 1, 1),
        )


class _Residual(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(
            nn.ReflectionPad2d(1),
            *_layer(nn.Conv2d(width, width, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return input + super().forward(input)


def _layer(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()


def _judge(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 4, stride, 1), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)
