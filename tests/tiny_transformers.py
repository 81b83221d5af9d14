"""Tiny but real pipelines of the families of 2024 to 2026, built from a seed; they paint from words only."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKLFlux2,
    ChromaPipeline,
    ChromaTransformer2DModel,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    SanaPipeline,
    SanaTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    Gemma2Config,
    Gemma2Model,
    GemmaConfig,
    GemmaForCausalLM,
    GemmaTokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.tiny_kandinsky import build_tiny_kandinsky3, build_tiny_kandinsky5
from tests.tiny_models import (
    LETTERS,
    T5_TOKENS,
    tiny_sd3,
    tiny_t5,
    tiny_t5_tokenizer,
    tiny_vae,
)
from tests.tiny_qwen import QWEN_TOKENS, name_processors, tiny_qwen_parts, tiny_qwen_tokenizer

PLAIN_VAE: dict[str, Any] = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.06}


def build_tiny_sd35(folder: Path) -> DiffusionPipeline:
    """Stable Diffusion 3.5 medium: a block that attends to the picture twice, normalised queries and keys."""
    return tiny_sd3(folder, layers=2, dual_attention_layers=(0,), qk_norm="rms_norm")


def build_tiny_chroma(folder: Path) -> DiffusionPipeline:
    """Chroma: FLUX without guidance as a condition; guided and unguided words are two calls."""
    transformer = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=[4, 4, 8],
        approximator_hidden_dim=32,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    return ChromaPipeline(
        transformer=transformer,
        vae=tiny_vae(**PLAIN_VAE),
        text_encoder=tiny_t5(32),
        tokenizer=tiny_t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def build_tiny_auraflow(folder: Path) -> DiffusionPipeline:
    """AuraFlow."""
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        out_channels=4,
        pos_embed_max_size=256,
    )
    config = UMT5Config(vocab_size=len(T5_TOKENS), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return AuraFlowPipeline(
        transformer=transformer,
        vae=tiny_vae(),
        text_encoder=UMT5EncoderModel(config),
        tokenizer=tiny_t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def build_tiny_lumina2(folder: Path) -> DiffusionPipeline:
    """Lumina 2: Gemma's words."""
    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        in_channels=4,
        hidden_size=8,
        num_layers=2,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=[4, 2, 2],
        cap_feat_dim=8,
    )
    config = GemmaConfig(
        head_dim=2,
        hidden_size=8,
        intermediate_size=16,
        num_attention_heads=4,
        num_hidden_layers=2,
        num_key_value_heads=4,
        vocab_size=len(_GEMMA_TOKENS),
    )
    return Lumina2Pipeline(
        transformer=transformer,
        vae=tiny_vae(**PLAIN_VAE),
        text_encoder=GemmaForCausalLM(config),
        tokenizer=_gemma_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def build_tiny_sana(folder: Path) -> DiffusionPipeline:
    """Sana: linear attention and a deep-compression autoencoder."""
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=8,
        sample_size=8,
    )
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=[1, 1],
        downsample_block_type="conv",
        upsample_block_type="interpolate",
    )
    config = Gemma2Config(
        head_dim=16,
        hidden_size=8,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=1,
        num_key_value_heads=2,
        vocab_size=len(_GEMMA_TOKENS),
    )
    return SanaPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=Gemma2Model(config),
        tokenizer=_gemma_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


def build_tiny_z_image(folder: Path) -> DiffusionPipeline:
    """Z-Image: lists of pictures and of words, each of its own length."""
    transformer = ZImageTransformer2DModel(
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    for token in (transformer.x_pad_token, transformer.cap_pad_token):  # which diffusers leaves unset
        torch.nn.init.normal_(token)
    return ZImagePipeline(
        transformer=transformer,
        vae=tiny_vae(latent_channels=16, **PLAIN_VAE),
        text_encoder=Qwen3Model(_qwen3(layers=2)),
        tokenizer=tiny_qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def build_tiny_qwen_image(folder: Path) -> DiffusionPipeline:
    """Qwen-Image: words as long as they are, and an autoencoder for videos."""
    return QwenImagePipeline(**tiny_qwen_parts([1, 2, 4]))


def build_tiny_klein(folder: Path) -> DiffusionPipeline:
    """FLUX.2 klein: positions for each row, and words from three of its language model's layers."""
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return Flux2KleinPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=Qwen3ForCausalLM(_qwen3(layers=28)),
        tokenizer=tiny_qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        is_distilled=True,
    )


def build_tiny_pixart(folder: Path) -> DiffusionPipeline:
    """PixArt-Sigma: the denoiser says its variance too, and the loop does not call back."""
    transformer: Any = PixArtTransformer2DModel(
        sample_size=8,
        patch_size=2,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=32,
        cross_attention_dim=16,
        in_channels=4,
        out_channels=8,
    )
    for layer in (transformer.caption_projection.linear_1, transformer.transformer_blocks[0].attn2.to_out[0]):
        layer.weight.data *= 30  # so that the words of so small a model are seen
    return PixArtSigmaPipeline(
        transformer=transformer,
        vae=tiny_vae(),
        text_encoder=tiny_t5(32),
        tokenizer=tiny_t5_tokenizer(),
        scheduler=DPMSolverMultistepScheduler(),
    )


TRANSFORMERS: dict[str, Callable[[Path], DiffusionPipeline]] = {
    "Stable Diffusion 3.5": build_tiny_sd35,
    "Chroma": build_tiny_chroma,
    "AuraFlow": build_tiny_auraflow,
    "Kandinsky 3": build_tiny_kandinsky3,
    "Kandinsky 5": build_tiny_kandinsky5,
    "Lumina 2": build_tiny_lumina2,
    "Sana": build_tiny_sana,
    "Z-Image": build_tiny_z_image,
    "Qwen-Image": build_tiny_qwen_image,
    "PixArt-Sigma": build_tiny_pixart,
    "FLUX.2 klein": build_tiny_klein,
}


def write_tiny_transformer(name: str, folder: Path) -> Path:
    """Write the tiny pipeline of that family into a folder."""
    torch.manual_seed(0)
    TRANSFORMERS[name](folder).save_pretrained(folder)
    name_processors(folder)
    return folder


_GEMMA_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS]


def _gemma_tokenizer() -> GemmaTokenizer:
    vocabulary = {token: number for number, token in enumerate(_GEMMA_TOKENS)}
    return GemmaTokenizer(vocab=vocabulary, merges=[], padding_side="right")


def _qwen3(layers: int) -> Qwen3Config:
    return Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(QWEN_TOKENS),
        max_position_embeddings=1024,
    )
