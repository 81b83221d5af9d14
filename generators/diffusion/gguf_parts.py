"""Loads parts of pipelines whose weights are GGUF files; they stay as small in memory as on the disk."""

# pyright: basic

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from diffusers.quantizers.quantization_config import GGUFQuantizationConfig
from transformers import AutoConfig

from limner.generators.cards.card_schema import read_table
from limner.generators.cards.model_files import gguf_files, named_parts
from limner.generators.loading import loading


@loading()
def gguf_parts(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The parts of a diffusers folder that have GGUF files in the place of safetensors, by name.

    A denoiser multiplies its weights out in each call; transformers does it for a text encoder once, at loading.
    """
    return {
        name: gguf_part(library, getattr(importlib.import_module(library), kind), folder / name, dtype)
        for name, (library, kind) in named_parts(read_table(folder / "model_index.json")).items()
        if gguf_files(folder / name)
    }


@loading()
def gguf_part(library: str, kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The part of the class ``kind`` in a folder with a GGUF file; None where there is none."""
    files = gguf_files(folder)
    if not files:
        return None
    if library == "diffusers":
        return gguf_denoiser(kind, files[0], folder, dtype)
    # The file does not say all of it: T5's activation, for one.
    options = {"config": AutoConfig.from_pretrained(folder), "dtype": dtype, "local_files_only": True}
    return kind.from_pretrained(folder, gguf_file=files[0].name, **options)


@loading()
def gguf_denoiser(kind: Any, file: Path, configuration: Path, dtype: torch.dtype) -> Any:
    """A denoiser of the class ``kind`` with the weights of a GGUF file; the folder has its config.json."""
    quantized = GGUFQuantizationConfig(compute_dtype=dtype)
    options = {"config": str(configuration), "dtype": dtype, "local_files_only": True}
    return kind.from_single_file(str(file), quantization_config=quantized, **options)
