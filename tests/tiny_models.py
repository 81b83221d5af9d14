"""Tiny but real diffusers pipelines, built from a seed: what the tests paint with."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from generators.base import GenerationRequest

torch.set_num_threads(1)  # several threads for a few numbers only wait for each other

SIDE = 16
"""Width and height, in pixels, that the tiny pipelines paint by default; any multiple of 8 will do."""


def build_tiny_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write a Stable Diffusion pipeline of one-layer parts, about 1 MB, into ``folder``; 16x16 pixels, milliseconds."""
    torch.manual_seed(seed)
    pipe = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(folder),
        unet=_unet(cross_attention_dim=32),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(pipe, folder)


def build_tiny_xl_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write an SDXL-shaped pipeline of one-layer parts: two text encoders, sizes and pooled words as conditions."""
    torch.manual_seed(seed)
    pipe = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=_tokenizer(folder),
        tokenizer_2=_tokenizer(folder),
        unet=_unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=_scheduler(),
        add_watermarker=False,
    )
    return _save(pipe, folder)


@cache
def stock_pipeline(folder: Path) -> DiffusionPipeline:
    """The pipeline as diffusers loads it; what ours is compared with."""
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_request(**changes: Any) -> GenerationRequest:
    """A request that the tiny pipelines paint in a few milliseconds."""
    usual: dict[str, Any] = {
        "prompt": "a red cat",
        "model": "tiny",
        "width": SIDE,
        "height": SIDE,
        "num_inference_steps": 3,
        "guidance_scale": 5.0,
        "seed": 7,
    }
    return GenerationRequest(**{**usual, **changes})


def _save(pipe: DiffusionPipeline, folder: Path) -> Path:
    pipe.save_pretrained(folder)
    return folder


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )


def _unet(**conditions: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
        **conditions,
    )


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=_VOCABULARY_SIZE,
        hidden_size=32,
        intermediate_size=32,
        projection_dim=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=16,
        bos_token_id=_VOCABULARY_SIZE - 2,
        eos_token_id=_VOCABULARY_SIZE - 1,
        pad_token_id=_VOCABULARY_SIZE - 1,
    )


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!'-"
_VOCABULARY_SIZE = 2 * len(_LETTERS) + 2


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """One token a letter: every prompt differs, no merges to learn."""
    tokens = [*_LETTERS, *(letter + "</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = folder / "vocabulary.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    merges.write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=16)


def _scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
