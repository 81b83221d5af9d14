"""Segmentation by words: the part of a picture that "the hat" names."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# transformers' annotations are too loose for more

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import AutoProcessor, CLIPSegForImageSegmentation, CLIPTokenizer

from limner.generators.errors import ModelNotFound
from limner.generators.loading import loading
from limner.generators.vision.segmentation_network import CONFIG, MODEL_TYPE, SegmentationNetwork, found

CLIPSEG = "clipseg"
"""The kind of transformers' models that are read."""
LEAST = 0.4
"""Probability from which a pixel belongs to the part, as CLIPSeg judges."""


class TextSegmentation(Protocol):
    """A model that finds the part of a picture that words name."""

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """A mask of the picture's size in black and white: white where the picture shows what the words name."""
        ...


@loading()
def load_segmentation(source: str, *, device: str = "cpu") -> TextSegmentation:
    """Load a CLIPSeg folder (or hub name) of transformers, or one that `limner train segmentation` wrote, in float32.

    Raises:
        ModelNotFound: it cannot be read, or its weights are no safetensors.
    """
    try:
        config = Path(source) / CONFIG
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else CLIPSEG
        if kind == MODEL_TYPE:
            network, tokenizer = SegmentationNetwork.load(Path(source))
            return DrawingSegmentation(network.to(device), tokenizer)
        if kind != CLIPSEG:
            raise ModelNotFound
        model = CLIPSegForImageSegmentation.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelNotFound from error
    return ClipSegmentation(model.to(device).eval().requires_grad_(False), processor, device)


class ClipSegmentation:
    """CLIPSeg (Lueddecke and Ecker 2022), for photographs and paintings."""

    def __init__(self, model: Any, processor: Any, device: str) -> None:
        self._model, self._processor, self._device = model, processor, device

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """As `TextSegmentation` says."""
        given = self._processor(text=[words], images=[image.convert("RGB")], return_tensors="pt", truncation=True)
        with torch.inference_mode():
            logits = self._model(**given.to(self._device)).logits
        small = logits.reshape(1, 1, *logits.shape[-2:]).float().sigmoid()
        size = (image.height, image.width)
        large = functional.interpolate(small, size, mode="bilinear", align_corners=False)[0, 0]
        return _mask(large >= LEAST)


class DrawingSegmentation:
    """Limner's own small network, for drawings such as doodle's."""

    def __init__(self, network: SegmentationNetwork, tokenizer: CLIPTokenizer) -> None:
        self._network, self._tokenizer = network, tokenizer

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """As `TextSegmentation` says; a picture that is no square is read in squares, which overlap."""
        device = self._network.out.weight.device
        ids = self._tokenizer([words], truncation=True, return_tensors="pt").input_ids.to(device)
        logits, times = torch.zeros(2, image.height, image.width)
        picture, edge, side = image.convert("RGB"), min(image.size), self._network.side
        for left, top in _corners(image.width, image.height):
            square = picture.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)
            with torch.inference_mode():
                small = self._network(_pixels(square).to(device), ids)[None]  # (1, 1, side, side)
            place = slice(top, top + edge), slice(left, left + edge)
            logits[place] += functional.interpolate(small, (edge, edge), mode="bilinear", align_corners=False)[
                0, 0
            ].cpu()
            times[place] += 1
        return _mask(found((logits / times)[None])[0])


def _corners(width: int, height: int) -> Iterator[tuple[int, int]]:
    """The corners of as few squares as cover a picture, evenly spread."""
    edge, longest = min(width, height), max(width, height)
    count = -(-longest // edge)
    for number in range(count):
        at = round(number * (longest - edge) / max(1, count - 1))
        yield (at, 0) if width > height else (0, at)


def _pixels(image: Image.Image) -> Tensor:
    """Numbers from -1 to 1 (1, 3, height, width)."""
    levels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    return levels.permute(2, 0, 1)[None].float().div(127.5).sub(1)


def _mask(found: Tensor) -> Image.Image:
    return Image.fromarray(found.byte().mul(255).cpu().numpy())
