"""Tiny but real pipelines of Kandinsky, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

from pathlib import Path

import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Kandinsky3Pipeline,
    Kandinsky3UNet,
    Kandinsky5T2IPipeline,
    Kandinsky5Transformer3DModel,
    VQModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from limner.generators.diffusion.picture_processors import PictureProcessor
from tests.tiny_models import tiny_deep_vae, tiny_t5, tiny_t5_tokenizer, tiny_text_model, tiny_tokenizer
from tests.tiny_qwen import PICTURE_TOKENS, tiny_qwen_parts


def build_tiny_kandinsky3(folder: Path) -> DiffusionPipeline:
    """Kandinsky 3: a UNet that reads T5's words, whose autoencoder is called MoVQ; sides are multiples of 64."""
    unet = Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        block_out_channels=(32, 64),
        cross_attention_dim=4,
        encoder_hid_dim=32,
    )
    movq = VQModel(
        block_out_channels=[32] * 4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=4,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    return Kandinsky3Pipeline(
        tokenizer=tiny_t5_tokenizer(), text_encoder=tiny_t5(32), unet=unet, movq=movq, scheduler=DDPMScheduler()
    )


def build_tiny_kandinsky5(folder: Path) -> DiffusionPipeline:
    """Kandinsky 5: Qwen's words as long as they are, pictures as videos of one frame."""
    parts = tiny_qwen_parts([1, 2, 4], PICTURE_TOKENS)
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        in_text_dim=16,
        in_text_dim2=32,
        time_dim=16,
        out_visual_dim=4,
        model_dim=32,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
    )
    for weight in transformer.parameters():
        if not weight.any():  # what an untrained one says of words counts for nothing
            torch.nn.init.normal_(weight, std=0.3)
    return Kandinsky5T2IPipeline(
        transformer=transformer,
        vae=tiny_deep_vae(4),
        text_encoder=parts["text_encoder"],
        tokenizer=PictureProcessor(Qwen2VLImageProcessorPil(), parts["tokenizer"]),
        text_encoder_2=tiny_text_model(tokens=77),
        tokenizer_2=tiny_tokenizer(folder),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
