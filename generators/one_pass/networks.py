"""Small convolutional networks between vectors and pictures, used by the VAE and the GAN."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSEST = 4
"""Width and height of the features at which a picture begins and ends."""
AVERAGED = 256
"""Noises over which the mean style of words is taken."""
GROUP = 8
"""Channels in one normalisation group."""
SLOPE = 0.2
"""Of the leaky rectifiers between the layers of a mapping network."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a network.

    Attributes:
        side: width and height of its pictures: 8, 16, 32 ...
        channels: 1 for grey pictures, 3 for coloured ones.
        width: channels at the finest level; doubled at each coarser one, up to four times.
        noise: size of the noise vector.
        words: size of a caption's vector.
        mapping: layers between noise and style; 0: noise and words are the style, and styles are not mixed.
        residual: whether noise and words are added to what these layers make of them.
    """

    side: int
    channels: int
    width: int
    noise: int
    words: int
    mapping: int = 0
    residual: bool = False

    @property
    def widths(self) -> list[int]:
        """Channels of each level, the coarsest first."""
        levels = round(math.log2(self.side / COARSEST)) + 1
        return [self.width * min(4, 2**level) for level in reversed(range(levels))]


class StyleGenerator(nn.Module):
    """Turns noise and words into a picture (-1 to 1); a style modulates every level, its layer (Karras 2019).

    With a mapping network each level can have a style of its own, the coarsest first.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = shape.widths
        self.words = nn.Linear(shape.words, shape.noise)
        style = 2 * shape.noise
        self.mapping = _mapping(shape, style) if shape.mapping else None
        self._residual = shape.residual
        self.start = nn.Linear(style, widths[0] * COARSEST**2)
        self.levels = nn.ModuleList(
            _Level(narrow, wide, style) for narrow, wide in zip(widths, [*widths[1:], widths[-1]], strict=True)
        )
        self.end = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def style(self, noise: Tensor, words: Tensor, truncation: float = 1.0) -> Tensor:
        """noise (count, noise), words (count, words) -> styles (count, 2 * noise).

        With a ``truncation`` from 1 down to 0 a style comes nearer to the mean style of its words, so pictures are more
        typical (Karras 2019, appendix B).
        """
        words = functional.normalize(self.words(words)) * noise.shape[1] ** 0.5
        if self.mapping is None:
            return torch.cat([noise * truncation, words], 1)
        styles = self._mapped(self.mapping, torch.cat([noise, words], 1))
        if truncation == 1:
            return styles
        draws = torch.randn(AVERAGED, noise.shape[1], generator=torch.Generator().manual_seed(0)).to(noise)
        every = torch.cat([draws.repeat(len(words), 1), words.repeat_interleave(AVERAGED, 0)], 1)
        return torch.lerp(self._mapped(self.mapping, every).view(len(words), AVERAGED, -1).mean(1), styles, truncation)

    def _mapped(self, mapping: nn.Module, latents: Tensor) -> Tensor:
        return mapping(latents) + latents if self._residual else mapping(latents)

    def mixed(self, coarse: Tensor, fine: Tensor, layers: Tensor | int) -> Tensor:
        """Two styles (count, 2 * noise) -> a style for each level: the first ``layers`` have the coarse one.

        ``layers`` is of each picture (count,) or of all.
        """
        many = torch.as_tensor(layers, device=coarse.device).view(-1, 1)
        takes_coarse = torch.arange(len(self.levels), device=coarse.device) < many
        return torch.where(takes_coarse[:, :, None], coarse[:, None], fine[:, None])

    def forward(self, noise: Tensor, words: Tensor) -> Tensor:
        """noise (count, noise), words (count, words) -> pictures (count, channels, side, side)."""
        style = self.style(noise, words)
        return self.paint(self.mixed(style, style, 0))

    def paint(self, styles: Tensor) -> Tensor:
        """A style for each level (count, levels, 2 * noise) -> pictures (count, channels, side, side)."""
        features = self.start(styles[:, 0]).view(len(styles), -1, COARSEST, COARSEST)
        for number, level in enumerate(self.levels):
            if number:
                features = functional.interpolate(features, scale_factor=2, mode="bilinear")
            features = level(features, styles[:, number])
        return self.end(features).tanh()


def _mapping(shape: Shape, width: int) -> nn.Sequential:
    """From noise and words, of mean square 1, to a style of the same size.

    By torch's own weights a style would hardly depend on noise after four layers; these keep its size (He 2015). Where
    noise and words are added to it, it begins at 0: the network learns as well as one without mapping then.
    """
    linears = [nn.Linear(width, width) for _ in range(shape.mapping)]
    for linear in linears:
        nn.init.kaiming_normal_(linear.weight, a=SLOPE)
        nn.init.zeros_(linear.bias)
    if shape.residual:
        nn.init.zeros_(linears[-1].weight)
    return nn.Sequential(*(part for linear in linears for part in (linear, nn.LeakyReLU(SLOPE))))


class _Level(nn.Module):
    def __init__(self, before: int, after: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)
        self.norm = nn.GroupNorm(after // GROUP, after, affine=False)
        self.style = nn.Linear(style, 2 * after)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return functional.leaky_relu(self.norm(self.conv(features)) * (1 + scale) + shift, 0.2)


class FeatureExtractor(nn.Module):
    """Turns a picture into one feature vector."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = shape.widths[::-1]
        self.start = nn.Conv2d(shape.channels, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.width = widths[-1] * COARSEST**2

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (count, channels, side, side) -> features (count, `width`)."""
        features = functional.leaky_relu(self.start(pixels), 0.2)
        for level in self.levels:
            features = functional.leaky_relu(level(features), 0.2)
        return features.flatten(1)


class ConditionalVAE(nn.Module):
    """A variational autoencoder conditioned on words (Kingma and Welling 2013, Sohn 2015)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.looker, self.painter = FeatureExtractor(shape), StyleGenerator(shape)
        self.words = nn.Linear(shape.words, shape.noise)
        self.code = nn.Linear(self.looker.width + shape.noise, 2 * shape.noise)

    def encode(self, pixels: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of each picture's code, (count, noise) each."""
        known = torch.cat([self.looker(pixels), self.words(words)], 1)
        mean, spread = self.code(known).chunk(2, 1)
        return mean, spread.clamp(-12, 6)

    def forward(self, noise: Tensor, words: Tensor) -> Tensor:
        """codes (count, noise), words (count, words) -> pictures (count, channels, side, side)."""
        return self.painter(noise, words)


class Critic(nn.Module):
    """Scores how real a picture is and how well it fits its words (Reed 2016, Miyato 2018); above 0 is real."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.looker = FeatureExtractor(shape)
        self.real = nn.Linear(self.looker.width, 1)
        self.features = nn.Linear(self.looker.width, 2 * shape.noise)
        self.words = nn.Linear(shape.words, 2 * shape.noise)

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        """pixels (count, channels, side, side), words (count, words) -> scores (count,)."""
        seen = self.looker(pixels)
        fit = (self.features(seen) * functional.normalize(self.words(words))).sum(1)
        return self.real(seen)[:, 0] + fit
