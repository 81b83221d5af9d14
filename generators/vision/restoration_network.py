"""A small network that removes noise and blur from drawings and doubles them; `limner train restore` trains it."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.loading import loading

MODEL_TYPE = "limner-restoration"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
TASKS = {"denoise": 1, "deblur": 1, "double": 2}
"""What it does, and how many times as wide and high the result is."""
WIDTH, BLOCKS = 48, 6


class RestorationNetwork(nn.Module):
    """Residual convolutions without normalisation (EDSR, Lim 2017) at half of the picture's side.

    The picture is folded into channels (pixel unshuffle, as in FFDNet, Zhang 2018) beside constant ones that name the
    task; what is found is added to the picture, or to its bicubic enlargement.
    """

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Conv2d(12 + len(TASKS), width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.last = nn.ModuleList(nn.Conv2d(width, 12 * times**2, 3, padding=1) for times in TASKS.values())
        for part in self.last.parameters():
            nn.init.zeros_(part)  # at first it changes nothing

    @property
    def reach(self) -> int:
        """Pixels to each side that one of the result depends on; an even number."""
        return 2 * (2 * len(self.blocks) + 2)

    def forward(self, pixels: Tensor, task: str) -> Tensor:
        """Pictures (count, 3, height, width) from -1 to 1 after one of the `TASKS`; larger if that enlarges."""
        height, width = pixels.shape[-2:]
        number, times = list(TASKS).index(task), TASKS[task]
        even = functional.pad(pixels, (0, width % 2, 0, height % 2), mode="replicate")
        folded = functional.pixel_unshuffle(even, 2)  # (count, 12, height / 2, width / 2)
        asked = folded.new_zeros(len(folded), len(TASKS), *folded.shape[-2:])
        asked[:, number] = 1
        x = self.first(torch.cat([folded, asked], 1))
        for block in self.blocks:
            x = block(x)
        found = functional.pixel_shuffle(self.last[number](x), 2 * times)
        if times > 1:
            even = functional.interpolate(even, scale_factor=times, mode="bicubic", align_corners=False)
        return (even + found)[..., : height * times, : width * times]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The network in float32.

        Raises:
            OSError, ValueError, KeyError: a file is missing or damaged.
        """
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["model_type"] != MODEL_TYPE:
            raise ValueError(config["model_type"])
        with loading():
            network = cls(config["width"], config["blocks"])
            network.load_state_dict({name: part.float() for name, part in load_file(folder / WEIGHTS).items()})
        return network.eval().requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write the folder that `load` reads, the weights in float16."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": MODEL_TYPE, "width": self.width, "blocks": len(self.blocks)}
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        save_file({name: part.half().contiguous() for name, part in self.state_dict().items()}, folder / WEIGHTS)


class ResidualBlock(nn.Module):
    """Two convolutions without normalisation whose result is added to their input (EDSR, Lim 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.other = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (count, width, height, width) of the same size."""
        return x + self.other(functional.relu(self.one(x)))
