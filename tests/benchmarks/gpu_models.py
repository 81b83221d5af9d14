"""Models with random weights in the sizes of Stable Diffusion 1.5, SDXL, FLUX.1 and Qwen-Image, made on the device."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from limner.generators.loading import loading
from tests.tiny_models import tiny_clip, tiny_scheduler, tiny_t5, tiny_t5_tokenizer, tiny_text_model, tiny_tokenizer
from tests.tiny_transformers import build_tiny_qwen_image


def build(name: str, folder: Path, device: torch.device, dtype: torch.dtype, *, full: bool) -> DiffusionPipeline:
    """One of `BUILDERS` with random weights, which are made on the device; tiny ones if not ``full``."""
    torch.manual_seed(0)
    with loading(), torch.device(device):
        torch.set_default_dtype(dtype)
        try:
            pipe = BUILDERS[name](folder, full=full)
        finally:
            torch.set_default_dtype(torch.float32)
    pipe.scheduler = tiny_scheduler() if hasattr(pipe, "unet") else FlowMatchEulerDiscreteScheduler()  # on the CPU
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def sd15(folder: Path, *, full: bool) -> DiffusionPipeline:
    """Stable Diffusion 1.5; its text encoder has one layer of the right width, as all of these models have."""
    width = 768 if full else 32
    unet = UNet2DConditionModel(
        sample_size=64 if full else 8,
        cross_attention_dim=width,
        block_out_channels=(320, 640, 1280, 1280) if full else (64, 64, 64, 64),
        layers_per_block=2 if full else 1,
    )
    return StableDiffusionPipeline(
        vae=_vae(full),
        text_encoder=tiny_text_model(width),
        tokenizer=tiny_tokenizer(folder),
        unet=unet,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(folder: Path, *, full: bool) -> DiffusionPipeline:
    """SDXL's base model."""
    first, second = (768, 1280) if full else (32, 32)
    unet = UNet2DConditionModel(
        sample_size=128 if full else 8,
        cross_attention_dim=first + second,
        block_out_channels=(320, 640, 1280) if full else (32, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2 if full else 1,
        attention_head_dim=(5, 10, 20) if full else 4,
        transformer_layers_per_block=(1, 2, 10) if full else 1,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + second,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(full),
        text_encoder=tiny_text_model(first),
        text_encoder_2=tiny_clip(second),
        tokenizer=tiny_tokenizer(folder),
        tokenizer_2=tiny_tokenizer(folder),
        unet=unet,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        add_watermarker=False,
    )


def flux(folder: Path, *, full: bool) -> DiffusionPipeline:
    """FLUX.1 [dev]: 12 billion parameters."""
    words, pooled = (4096, 768) if full else (32, 32)
    tiny = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2}
    transformer = FluxTransformer2DModel(
        joint_attention_dim=words,
        pooled_projection_dim=pooled,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56) if full else (2, 2, 4),
        **({} if full else tiny),
    )
    return FluxPipeline(
        vae=_vae(full, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=tiny_text_model(pooled),
        text_encoder_2=tiny_t5(words),
        tokenizer=tiny_tokenizer(folder),
        tokenizer_2=tiny_t5_tokenizer(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def qwen_image(folder: Path, *, full: bool) -> DiffusionPipeline:
    """Qwen-Image: 20 billion parameters; the text encoder is as narrow as that of the tests."""
    pipe: Any = build_tiny_qwen_image(folder)
    if not full:
        return pipe
    words = pipe.transformer.config.joint_attention_dim
    parts = {"transformer": QwenImageTransformer2DModel(joint_attention_dim=words), "vae": AutoencoderKLQwenImage()}
    return QwenImagePipeline(**{**pipe.components, **parts})


def _vae(full: bool, **options: Any) -> AutoencoderKL:
    """The autoencoder of these models, which makes the sides an eighth."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512) if full else (32, 32, 32, 32),
        layers_per_block=2 if full else 1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **options,
    )


BUILDERS: dict[str, Callable[..., DiffusionPipeline]] = {
    "SD 1.5": sd15,
    "SDXL": sdxl,
    "FLUX.1": flux,
    "Qwen-Image": qwen_image,
}
