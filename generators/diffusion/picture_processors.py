"""Qwen's processors of words and pictures, which read pictures with Pillow alone."""

# pyright: basic

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from transformers import Qwen2Tokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from limner.generators.loading import loading

INDEX = "model_index.json"
"""Says which classes a pipeline's parts have."""


class PictureProcessor(Qwen2VLProcessor):
    """Qwen's processor of words and pictures, without the one of videos, which needs torchvision.

    Pictures are read with Pillow where torchvision is installed too, so that a request is the same on all workers.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


@loading()
def picture_processors(source: str) -> dict[str, Any]:
    """The parts of a diffusers folder or hub name that are such processors, by name.

    Raises:
        OSError: one of its files is missing or cannot be read.
    """
    is_folder = Path(source).is_dir()
    where: dict[str, Any] = {"local_files_only": is_folder}
    file = Path(source, INDEX) if is_folder else Path(hf_hub_download(source, INDEX))
    index: Any = json.loads(file.read_text("utf-8"))
    found: dict[str, Any] = {}
    for name in (name for name, part in index.items() if part == ["transformers", "Qwen2VLProcessor"]):
        options = {**where, "subfolder": name}
        tokenizer = Qwen2Tokenizer.from_pretrained(source, **options)
        found[name] = PictureProcessor(Qwen2VLImageProcessorPil.from_pretrained(source, **options), tokenizer)
    return found
