"""A tiny but real CLIPSeg, built from a seed: what it finds depends on the words and on the picture."""

# pyright: basic

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPSegTextConfig,
    CLIPSegVisionConfig,
    ViTImageProcessor,
)

from tests.tiny_models import tiny_tokenizer

SIDE = 32


def build_tiny_segmentation(folder: Path, seed: int = 0) -> Path:
    """Write it into ``folder``; its mask has black and white squares, because its last layer is strong and even."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(folder)
    layers: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    ends: dict[str, Any] = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPSegConfig(
        text_config=CLIPSegTextConfig(**layers, **ends, vocab_size=len(tokenizer), pad_token_id=0).to_dict(),
        vision_config=CLIPSegVisionConfig(**layers, image_size=SIDE, patch_size=8).to_dict(),
        projection_dim=16,
        reduce_dim=16,
        extract_layers=[0, 1],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )
    model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(8)
        weight: Any = model.decoder.transposed_convolution.weight
        weight.copy_(weight[..., :1, :1].expand_as(weight))
    model.save_pretrained(folder)
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    CLIPSegProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder
