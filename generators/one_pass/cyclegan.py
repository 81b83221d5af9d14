"""CycleGANs that change a picture into one of another kind: an `ImageGenerator`, and its saved form."""

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
from limner.generators.one_pass.translators import Depth, Translator
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

FAMILY = "cyclegan"


class CycleGANGenerator(OnePass):
    """Translates a request's input picture (Zhu 2017); it reads no words and uses no random numbers.

    With a strength below 1 the result is blended with the input.
    """

    family = FAMILY

    @classmethod
    def _open(cls, card: ModelCard, config: dict[str, Any], max_batch: int) -> Self:
        return cls(card, Translator(Depth(**config["depth"])), max_batch)

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
        device = next(self._network.parameters()).device
        painted = []
        for request, picture in asked:
            changed = self._network(picture[None].to(device)).cpu()
            mixed = picture.lerp(changed, 1.0 if request.strength is None else request.strength)
            painted += finished(mixed, request) * request.num_images_per_prompt
        return painted


def save(folder: Path, depth: Depth, network: Translator, card: dict[str, Any]) -> None:
    """Write a model's folder: weights in float16, and JSON files with its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: part.detach().half().contiguous() for name, part in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    config = {"family": FAMILY, "version": VERSION, "depth": asdict(depth)}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / "limner.json").write_text(json.dumps({"kind": FAMILY, **card}, indent=2) + "\n", encoding="utf-8")
