"""Tiny but real pipelines of the families that paint videos from words, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MotionAdapter,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)

from tests.tiny_models import (
    build_tiny_unet,
    tiny_scheduler,
    tiny_t5,
    tiny_t5_tokenizer,
    tiny_text_model,
    tiny_tokenizer,
    tiny_vae,
)


def build_tiny_animatediff(folder: Path) -> DiffusionPipeline:
    """AnimateDiff: Stable Diffusion's denoiser with layers that look along the frames."""
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=24,
        use_motion_mid_block=False,
    )
    for name, weights in adapter.named_parameters():
        if "proj_out" in name:  # a new adapter moves nothing
            torch.nn.init.normal_(weights)
    return AnimateDiffPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_model(),
        tokenizer=tiny_tokenizer(folder),
        unet=build_tiny_unet(cross_attention_dim=32),
        motion_adapter=adapter,
        scheduler=tiny_scheduler(),
    )


def build_tiny_ltx(folder: Path) -> DiffusionPipeline:
    """LTX: packed latents, and eight frames of a video in one of its latents."""
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )
    transformer: Any = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=32,
    )
    _let_words_count(transformer.caption_projection.linear_2, transformer.transformer_blocks[0].attn2.to_out[0])
    return LTXPipeline(
        vae=vae,
        text_encoder=tiny_t5(32),
        tokenizer=tiny_t5_tokenizer(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1),
    )


def build_tiny_wan(folder: Path) -> DiffusionPipeline:
    """Wan: guided and unguided words in two calls, four frames of a video in one of its latents."""
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    transformer: Any = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=32,
        freq_dim=32,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=32,
    )
    _let_words_count(transformer.condition_embedder.text_embedder.linear_2, transformer.blocks[0].attn2.to_out[0])
    return WanPipeline(
        vae=vae,
        text_encoder=tiny_t5(32),
        tokenizer=tiny_t5_tokenizer(),
        transformer=transformer,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )


VIDEOS: dict[str, Callable[[Path], DiffusionPipeline]] = {
    "AnimateDiff": build_tiny_animatediff,
    "LTX-Video": build_tiny_ltx,
    "Wan 2.1, 2.2": build_tiny_wan,
}


def _let_words_count(*layers: Any) -> None:
    """Let the words of so small a model be seen."""
    for layer in layers:
        layer.weight.data *= 30


def write_tiny_video(name: str, folder: Path) -> Path:
    """Write the tiny pipeline of that family into a folder."""
    torch.manual_seed(0)
    VIDEOS[name](folder).save_pretrained(folder)
    return folder
