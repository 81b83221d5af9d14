"""Writes weights as GGUF files, as other tools quantize them."""

# pyright: basic

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor

from tests.original_layout import checkpoint_tensors

KIND = gguf.GGMLQuantizationType.Q8_0
BLOCK = 32
"""Weights that share a scale, so that the rows of shorter layers stay as they are."""


def write_gguf(tensors: Mapping[str, Tensor], file: Path, family: str, **values: Any) -> Path:
    """Write tensors in 8 bits where they are matrices; ``values`` are the file's own, by their last word."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, family)
    for name, value in values.items():
        getattr(writer, f"add_{name}")(value)
    for name, tensor in tensors.items():
        numbers = tensor.float().numpy()
        if numbers.ndim == 2 and numbers.shape[1] % BLOCK == 0:
            writer.add_tensor(name, gguf.quants.quantize(numbers, KIND), raw_dtype=KIND)
        else:
            writer.add_tensor(name, np.ascontiguousarray(numbers))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def write_sd3_gguf(transformer: Mapping[str, Tensor], file: Path) -> Path:
    """Write Stable Diffusion 3's denoiser with the names of its maker."""
    named = checkpoint_tensors("StableDiffusion3Pipeline", {"transformer": transformer}, open_clip=False)
    return write_gguf({name.removeprefix("model.diffusion_model."): each for name, each in named.items()}, file, "sd3")


def write_t5_gguf(encoder: Any, file: Path) -> Path:
    """Write a T5 encoder with llama.cpp's names."""
    config = encoder.config
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, config.num_layers)
    tensors = {
        f"{known.get_name(name.removesuffix('.weight'))}.weight": tensor
        for name, tensor in encoder.state_dict().items()
        if not name.startswith("encoder.embed_tokens")
    }
    return write_gguf(
        tensors,
        file,
        "t5encoder",
        block_count=config.num_layers,
        feed_forward_length=config.d_ff,
        embedding_length=config.d_model,
        key_length=config.d_kv,
        head_count=config.num_heads,
        layer_norm_eps=config.layer_norm_epsilon,
        relative_attn_buckets_count=config.relative_attention_num_buckets,
        vocab_size=config.vocab_size,
    )
