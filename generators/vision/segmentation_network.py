"""A small network that finds in a drawing what words name; `limner train segmentation` trains it."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false
# transformers' and torch's annotations are too loose for more

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, LevitConfig, LevitModel

from limner.generators.loading import loading

MODEL_TYPE = "limner-segmentation"
"""Tells the folder of such a network from one of transformers."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
STAGES = 2
"""Stages of the LeViT that are used; later ones have too few places to say where something is."""
WIDTHS = (80, 56, 40, 24)
"""Channels on the way up, at 1/16, 1/8, 1/4 and 1/2 of the picture's side."""
LENGTH = 8.0
"""Length of the vector of the words."""


SURE = 2.5
"""Least mean logit of the pixels that are found (92 %); words that name nothing in a picture find some less surely."""


class SegmentationNetwork(nn.Module):
    """Says for each pixel how likely it is that the words name what it shows.

    A LeViT (Graham 2021) and a text encoder read the picture and the words, as in the image-text model from which they
    come. Convolutions lead back to the picture's size (U-Net, Ronneberger 2015), and the words scale and shift their
    channels (FiLM, Perez 2018; CLIPSeg, Lueddecke and Ecker 2022, uses both with a ViT).
    """

    def __init__(
        self, vision: LevitModel, text: CLIPTextModel, projection: nn.Linear, widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        self.vision: Any = vision
        self.text, self.projection = text, projection
        del self.vision.encoder.stages[STAGES:]
        self.widths = tuple(widths)
        sizes = vision.config.hidden_sizes
        beside = (sum(sizes[:STAGES]), *(sizes[0] // part for part in (2, 4, 8)))  # as LeViT's first convolutions have
        below = (0, *widths)
        self.blocks = nn.ModuleList(
            _Block(lower + skipped, width, projection.out_features)
            for lower, skipped, width in zip(below, beside, widths, strict=False)
        )
        self.out = nn.Conv2d(widths[-1], 4, 3, padding=1)

    @classmethod
    @loading()
    def load(cls, folder: Path) -> tuple[Self, CLIPTokenizer]:
        """The network in float32 and its tokenizer.

        Raises:
            OSError, ValueError: a file is missing or damaged.
        """
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        text = CLIPTextModel(CLIPTextConfig(**config["text_config"], attn_implementation="eager"))
        projection = nn.Linear(text.config.hidden_size, config["projection_dim"], bias=False)
        network = cls(LevitModel(LevitConfig(**config["vision_config"])), text, projection, config["widths"])
        network.load_state_dict({name: part.float() for name, part in load_file(folder / WEIGHTS).items()})
        return network.eval().requires_grad_(False), CLIPTokenizer.from_pretrained(folder)

    def save(self, folder: Path, tokenizer: CLIPTokenizer) -> None:
        """Write the folder that `load` reads, the weights in float16."""
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save_pretrained(folder)
        config: dict[str, Any] = {
            "model_type": MODEL_TYPE,
            "vision_config": self.vision.config.to_diff_dict(),
            "text_config": self.text.config.to_diff_dict(),
            "projection_dim": self.projection.out_features,
            "widths": self.widths,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        weights = {name: part.half() if part.is_floating_point() else part for name, part in self.state_dict().items()}
        save_file({name: part.contiguous() for name, part in weights.items()}, folder / WEIGHTS)

    @property
    def side(self) -> int:
        """Width and height in pixels of the pictures that it reads."""
        config: Any = self.vision.config
        return config.image_size

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Logits (count, side, side) of pixels (count, 3, side, side) from -1 to 1, and tokens (count, length)."""
        words = LENGTH * functional.normalize(self.projection(self.text(ids).pooler_output))  # (count, projection)
        maps = self._see(pixels)
        x = self.blocks[0](maps[0], words)
        for block, beside in zip(self.blocks[1:], maps[1:], strict=True):
            x = block(torch.cat([_resized(x, beside.shape[-1]), beside], 1), words)
        return functional.pixel_shuffle(self.out(x), 2)[:, 0]

    def _see(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps, from a sixteenth of the picture's side (with what later stages saw) to half of it."""
        embeddings, x = self.vision.patch_embeddings, pixels
        maps: list[Tensor] = []
        for number in (1, 2, 3):
            x = getattr(embeddings, f"activation_layer_{number}")(getattr(embeddings, f"embedding_layer_{number}")(x))
            maps.append(x)  # (count, channels, side / 2 ** number, the same)
        x = embeddings.embedding_layer_4(x)
        side, x = x.shape[-1], x.flatten(2).transpose(1, 2)  # (count, places, channels)
        stages: dict[int, Tensor] = {}
        encoder: Any = self.vision.encoder
        for stage in encoder.stages:
            for layer in stage.layers:
                x = layer(x)
                stages[x.shape[1]] = x
        seen = [places.transpose(1, 2).unflatten(2, (-1, round(count**0.5))) for count, places in stages.items()]
        return [torch.cat([_resized(one, side) for one in seen[:STAGES]], 1), *reversed(maps)]


def found(logits: Tensor) -> Tensor:
    """Where a picture shows what the words name (count, height, width): nowhere if the network is not sure enough."""
    likely = logits > 0
    is_sure = (logits * likely).sum((1, 2)) >= SURE * likely.sum((1, 2))
    return likely & is_sure[:, None, None]


class _Block(nn.Module):
    """Two convolutions, the second one beside a shortcut; the words scale and shift the channels between them."""

    def __init__(self, channels: int, width: int, words: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, width, 3, padding=1)
        self.mix_norm = nn.GroupNorm(8, width)
        self.film = nn.Linear(words, 2 * width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.conv_norm = nn.GroupNorm(8, width)
        nn.init.zeros_(self.film.weight)  # at first the words change nothing
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        scale, shift = self.film(words)[:, :, None, None].chunk(2, 1)  # (count, width, 1, 1) each
        x = functional.silu(self.mix_norm(self.mix(x)) * (1 + scale) + shift)
        return x + functional.silu(self.conv_norm(self.conv(x)))


def _resized(maps: Tensor, side: int) -> Tensor:
    return functional.interpolate(maps, (side, side), mode="bilinear", align_corners=False)
