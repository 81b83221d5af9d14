"""Losses of style transfer (Johnson 2016): how far pictures are apart in content and in style."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false
# transformers' annotations are too loose for more

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoImageProcessor, VisionTextDualEncoderModel

from limner.generators.loading import loading

CONVOLUTIONS = 4
"""At the beginning of a LeViT's picture tower, each of which halves the sides."""
SEEN = 2
"""How many of them, at the end, content is compared by."""
FILTERS, REACH, PLAIN = 32, 7, 8
"""Random filters of a texture, their width and height in pixels, and how many of them also see even colours."""
SCALES = 3
"""Sizes at which textures are compared: the picture's own, a half and a quarter of it."""
LEAST = 0.05
"""Least strength of a filter's answers to the style's picture that others are measured by."""


class ContentFeatures(nn.Module):
    """The first convolutions of the picture tower of an image-text model, a LeViT; nothing in them learns."""

    mean: Tensor
    spread: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with loading():
            model = VisionTextDualEncoderModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
            images = AutoImageProcessor.from_pretrained(folder)
        stem = model.vision_model.patch_embeddings
        names = [
            part for at in range(1, CONVOLUTIONS + 1) for part in (f"embedding_layer_{at}", f"activation_layer_{at}")
        ]
        self.layers = nn.ModuleList(getattr(stem, name, nn.Identity()) for name in names)
        self.register_buffer("mean", torch.tensor(images.image_mean)[:, None, None])
        self.register_buffer("spread", torch.tensor(images.image_std)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pictures (count, 3, height, width) from -1 to 1 -> features (count, channels, height / 16, width / 16) ..."""
        x, found = (pixels / 2 + 0.5 - self.mean) / self.spread, []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found[1::2][-SEEN:]


class TextureFeatures(nn.Module):
    """Random filters at several scales, whose correlations tell textures apart (Ustyuzhaninov 2017), and the colours.

    A LeViT's convolutions do not: a network learns to excite them by patterns of two pixels that no eye takes for a
    texture.
    """

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = torch.randn(FILTERS, 3, REACH, REACH, generator=torch.Generator().manual_seed(0))
        filters[PLAIN:] -= filters[PLAIN:].mean((2, 3), keepdim=True)
        away = torch.arange(REACH) - REACH // 2
        bell = (-2 * (2 * away / REACH).square()).exp()
        filters *= bell[:, None] * bell
        self.register_buffer("filters", functional.normalize(filters.flatten(1)).view_as(filters))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pictures (count, 3, height, width) -> features of each scale (count, channels, height, width)."""
        found, edge = [], REACH // 2
        for scale in range(SCALES):
            pixels = functional.avg_pool2d(pixels, 2) if scale else pixels
            seen = functional.conv2d(pixels, self.filters).relu()
            found.append(torch.cat([seen, pixels[..., edge:-edge, edge:-edge]], 1))
        return found


class StyleLoss(nn.Module):
    """Distances in content and in style, as shares of those between pictures that nothing has changed.

    Args:
        content: what content is compared by.
        style: the picture whose style is wanted (1, 3, height, width).
        pictures: some pictures (count, 3, height, width) whose distances from the style, and from each other, are 1.
    """

    def __init__(self, content: nn.Module, style: Tensor, pictures: Tensor) -> None:
        super().__init__()
        self._content, self._texture = content, TextureFeatures()
        found = self._texture(style)
        for number, level in enumerate(found):
            spread = level.square().mean((2, 3), keepdim=True).sqrt().clamp(min=LEAST)
            self.register_buffer(f"spread_{number}", spread)
            self.register_buffer(f"wanted_{number}", gram(level / spread))
        self.unlike = self.unchanged = 1.0
        with torch.no_grad():
            seen = content(pictures)
            self.unlike = float(_apart(seen, [level.roll(1, 0) for level in seen]))
            self.unchanged = float(self.style(pictures))

    def content(self, changed: Tensor, pixels: Tensor) -> Tensor:
        """The mean distance of changed pictures from what they were: 0 is the same picture, 1 another one."""
        with torch.no_grad():
            before = self._content(pixels)
        return _apart(self._content(changed), before) / self.unlike

    def style(self, pixels: Tensor) -> Tensor:
        """The mean distance of pictures from the style: 1 is that of unchanged ones."""
        errors: list[Tensor] = []
        for number, level in enumerate(self._texture(pixels)):
            wanted = self.get_buffer(f"wanted_{number}")
            error = gram(level / self.get_buffer(f"spread_{number}")) - wanted
            errors.append(error.square().sum((1, 2)).mean() / wanted.square().sum())
        return torch.stack(errors).mean() / self.unchanged


def gram(features: Tensor) -> Tensor:
    """Gram matrices (count, channels + 1, channels + 1) of features and a constant, so the means are in them too."""
    flat = functional.pad(features.flatten(2), (0, 0, 0, 1), value=1.0)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """The mean squared distance of features, as a share of what they vary by."""
    errors = [(first - second).square().mean() / second.var() for first, second in zip(one, other, strict=True)]
    return torch.stack(errors).mean()
