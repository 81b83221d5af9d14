"""Segmentation by words: the part of a picture that "the hat" names (CLIPSeg, Lueddecke and Ecker 2022)."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# transformers' annotations are too loose for more

from __future__ import annotations

from typing import Any, Self

import torch
from PIL import Image
from torch.nn import functional
from transformers import AutoProcessor, CLIPSegForImageSegmentation

from limner.generators.errors import ModelNotFound
from limner.generators.loading import loading

LEAST = 0.4
"""Probability from which a pixel belongs to the part."""


class TextSegmentation:
    """A CLIPSeg model from a folder (or hub name) of transformers, in float32; safetensors only."""

    def __init__(self, model: Any, processor: Any, device: str) -> None:
        self._model, self._processor, self._device = model, processor, device

    @classmethod
    @loading()
    def load(cls, source: str, *, device: str = "cpu") -> Self:
        """Load the folder; raises ModelNotFound if it cannot be read."""
        try:
            model = CLIPSegForImageSegmentation.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
            processor = AutoProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ModelNotFound from error
        return cls(model.to(device).eval().requires_grad_(False), processor, device)

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """A mask of the picture's size in black and white: white where the picture shows what the words name."""
        given = self._processor(text=[words], images=[image.convert("RGB")], return_tensors="pt", truncation=True)
        with torch.inference_mode():
            logits = self._model(**given.to(self._device)).logits
        small = logits.reshape(1, 1, *logits.shape[-2:]).float().sigmoid()
        size = (image.height, image.width)
        large = functional.interpolate(small, size, mode="bilinear", align_corners=False)[0, 0]
        return Image.fromarray((large >= LEAST).byte().mul(255).cpu().numpy())
