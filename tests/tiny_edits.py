"""Tiny but real pipelines that change a picture as the prompt says, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    FluxKontextPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    StableDiffusionInstructPix2PixPipeline,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from limner.generators.diffusion.picture_processors import PictureProcessor
from tests.tiny_models import (
    build_tiny_flux_pipeline,
    build_tiny_pipeline,
    build_tiny_unet,
    stock_pipeline,
    tiny_deep_vae,
)
from tests.tiny_qwen import PICTURE_TOKENS, name_processors, tiny_qwen_parts
from tests.tiny_transformers import write_tiny_transformer


def build_tiny_kontext_pipeline(folder: Path) -> Path:
    """Write FLUX.1 Kontext: FLUX with a picture's latents behind those that are denoised.

    Its autoencoder divides the sides by 16, since diffusers brings each given picture to a million pixels.
    """
    flux = stock_pipeline(build_tiny_flux_pipeline(folder / "flux"))
    vae = tiny_deep_vae(5, shift_factor=0.06)
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
    parts = tiny_qwen_parts([1] * 5, PICTURE_TOKENS, **transformer)
    pictures = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    written = _save(kind(**parts, processor=PictureProcessor(pictures, parts["tokenizer"])), folder)
    name_processors(written)
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
