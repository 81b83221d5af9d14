"""CycleGANs and style networks, which change a picture into another kind: an `ImageGenerator`, and its saved form."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.pipelines import read_picture
from limner.generators.errors import BadRequest, NoNegative
from limner.generators.one_pass.generator import CONFIG, VERSION, WEIGHTS, OnePass, finished
from limner.generators.one_pass.translators import Depth, StyleNetwork, Translator
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

FAMILY = "cyclegan"
NETWORKS = {"translator": Translator, "style": StyleNetwork}
"""The class of a network by its name in config.json; without a name it is a translator."""


class CycleGANGenerator(OnePass):
    """Changes a request's input picture by a CycleGAN (Zhu 2017) or a style network (Johnson 2016); it reads no words.

    Only a style network uses random numbers, for its textures. With a strength below 1 the result is blended with the
    input.
    """

    family = FAMILY

    @classmethod
    def _open(cls, card: ModelCard, config: dict[str, Any], max_batch: int) -> Self:
        network = NETWORKS[config.get("network", "translator")]
        return cls(card, network(Depth(**config["depth"])), max_batch)

    def _take(self, request: GenerationRequest) -> Tensor:
        if request.init_image is None:
            raise BadRequest(sentence("This model changes pictures; ask again with one to start from."))
        if request.negative_prompt:
            raise NoNegative
        if request.mask or request.references or request.loras or request.scheduler:
            raise BadRequest(sentence("This model knows only pictures; ask without a mask, a LoRA or a scheduler."))
        picture = np.asarray(read_picture(request.init_image, "RGB", request))
        return torch.from_numpy(picture.copy()).permute(2, 0, 1).float().div_(127.5).sub_(1)

    def _paint(self, asked: Sequence[tuple[GenerationRequest, Tensor]]) -> list[Image.Image]:
        painted = []
        for request, picture in asked:
            strength = 1.0 if request.strength is None else request.strength
            for seed in request.seeds:
                painted += finished(picture.lerp(self._changed(picture, seed), strength), request)
        return painted

    def _changed(self, picture: Tensor, seed: int) -> Tensor:
        """The picture (3, height, width) as the only one of a batch."""
        device, size = next(self._network.parameters()).device, picture.shape[-2:]
        if isinstance(self._network, StyleNetwork):
            noise = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(seed))
            return self._network(picture[None].to(device), noise.to(device)).clamp(-1, 1).cpu()
        return self._network(picture[None].to(device)).cpu()


def save(folder: Path, depth: Depth, network: Translator | StyleNetwork, card: dict[str, Any]) -> None:
    """Write a model's folder: weights in float16, and JSON files with its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: part.detach().half().contiguous() for name, part in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    named = next(name for name, kind in NETWORKS.items() if isinstance(network, kind))
    config = {"family": FAMILY, "version": VERSION, "network": named, "depth": asdict(depth)}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / "limner.json").write_text(json.dumps({"kind": FAMILY, **card}, indent=2) + "\n", encoding="utf-8")
