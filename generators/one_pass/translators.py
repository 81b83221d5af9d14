"""Image-to-image networks of CycleGAN."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

STRIDE = 4
"""Sides of a picture are multiples of this."""


@dataclass(frozen=True)
class Depth:
    """The sizes of a translator.

    Attributes:
        width: channels at full resolution; twice and four times as many below it.
        blocks: residual blocks at a quarter of the resolution.
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
