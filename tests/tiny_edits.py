"""Tiny but real pipelines that change a picture as the prompt says, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FluxKontextPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    StableDiffusionInstructPix2PixPipeline,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from limner.generators.diffusion.picture_processors import PictureProcessor
from tests.tiny_models import build_tiny_flux_pipeline, build_tiny_pipeline, build_tiny_unet, stock_pipeline
from tests.tiny_transformers import IMAGE_TOKEN, tiny_qwen_parts, write_tiny_transformer


def build_tiny_kontext_pipeline(folder: Path) -> Path:
    """Write FLUX.1 Kontext: FLUX with a picture's latents behind those that are denoised.

    Its autoencoder divides the sides by 16, since diffusers brings each given picture to a million pixels.
    """
    flux = stock_pipeline(build_tiny_flux_pipeline(folder / "flux"))
    vae = AutoencoderKL(
        block_out_channels=(4,) * 5,
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
    )
    return _save(FluxKontextPipeline(**{**flux.components, "vae": vae}), folder)


def build_tiny_pix2pix_pipeline(folder: Path) -> Path:
    """Write InstructPix2Pix: a UNet that also reads the picture's latents; each sample has three rows."""
    plain = stock_pipeline(build_tiny_pipeline(folder / "plain"))
    unet = build_tiny_unet(cross_attention_dim=32, in_channels=8)
    kind = StableDiffusionInstructPix2PixPipeline
    return _save(kind(**{**plain.components, "unet": unet}, requires_safety_checker=False), folder)


def build_tiny_klein_pipeline(folder: Path) -> Path:
    """Write FLUX.2 klein, which paints from words too."""
    return write_tiny_transformer("FLUX.2 klein", folder)


def build_tiny_qwen_edit_pipeline(folder: Path) -> Path:
    """Write Qwen-Image-Edit: its language model sees the given picture, and its denoiser reads the latents."""
    return _save_qwen_edit(QwenImageEditPipeline, folder)


def build_tiny_qwen_edit_plus_pipeline(folder: Path) -> Path:
    """Write Qwen-Image-Edit as in 2511: the given picture's rows are denoised as if they were clean."""
    return _save_qwen_edit(QwenImageEditPlusPipeline, folder, zero_cond_t=True)


def _save_qwen_edit(kind: Callable[..., DiffusionPipeline], folder: Path, **transformer: Any) -> Path:
    """Write the pipeline of that class.

    Its autoencoder divides the sides by 16, since diffusers brings each given picture to a million pixels.
    """
    torch.manual_seed(0)
    parts = tiny_qwen_parts([1] * 5, ("<|vision_start|>", IMAGE_TOKEN, "<|vision_end|>"), **transformer)
    pictures = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    written = _save(kind(**parts, processor=PictureProcessor(pictures, parts["tokenizer"])), folder)
    index = written / "model_index.json"
    named = json.loads(index.read_text()) | {"processor": ["transformers", "Qwen2VLProcessor"]}
    index.write_text(json.dumps(named))
    return written


EDITS: dict[str, Callable[[Path], Path]] = {
    "FLUX.1 Kontext": build_tiny_kontext_pipeline,
    "Qwen-Image-Edit": build_tiny_qwen_edit_pipeline,
    "Qwen-Image-Edit 2509, 2511": build_tiny_qwen_edit_plus_pipeline,
    "InstructPix2Pix": build_tiny_pix2pix_pipeline,
    "FLUX.2 klein": build_tiny_klein_pipeline,
}


def _save(pipe: DiffusionPipeline, folder: Path) -> Path:
    pipe.save_pretrained(folder / "whole")
    return folder / "whole"
