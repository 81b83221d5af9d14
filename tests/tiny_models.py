"""Tiny but real diffusers pipelines, built from a seed: what the tests paint with."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from limner.generators.diffusion.picture_processors import picture_processors
from limner.generators.loading import loading
from limner.generators.requests import GenerationRequest

torch.set_num_threads(1)  # several threads for a few numbers only wait for each other

SIDE = 16
"""Width and height, in pixels, that the tiny pipelines paint by default; any multiple of 8 will do."""


def build_tiny_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write a Stable Diffusion pipeline of one-layer parts, about 1 MB, into ``folder``; 16x16 pixels, milliseconds."""
    return _build_stable_diffusion(folder, seed, StableDiffusionPipeline)


def build_tiny_v2_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write one like Stable Diffusion 2: it predicts velocity, and its noise ends at no signal."""
    velocity = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return _build_stable_diffusion(folder, seed, StableDiffusionPipeline, **velocity)


def build_tiny_inpainting_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write one whose denoiser also reads the mask and the masked picture: nine channels, for inpainting only."""
    return _build_stable_diffusion(folder, seed, StableDiffusionInpaintPipeline, channels=9)


def build_tiny_xl_pipeline(folder: Path, seed: int = 0, *, second: int = 32, **unet: Any) -> Path:
    """Write an SDXL-shaped pipeline of one-layer parts: two text encoders, sizes and pooled words as conditions.

    The second text encoder is as wide as asked for.
    """
    torch.manual_seed(seed)
    pipe = StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=tiny_clip(second),
        tokenizer=tiny_tokenizer(folder),
        tokenizer_2=tiny_tokenizer(folder),
        unet=build_tiny_unet(
            cross_attention_dim=32 + second,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + second,
            **unet,
        ),
        scheduler=tiny_scheduler(),
        add_watermarker=False,
    )
    return _save(pipe, folder)


def build_tiny_refiner(folder: Path, seed: int = 0) -> Path:
    """Write one like SDXL's refiner: it changes pictures, has only the second text encoder, and takes a score."""
    torch.manual_seed(seed)
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=tiny_vae(),
        text_encoder=None,
        text_encoder_2=tiny_clip(),
        tokenizer=None,
        tokenizer_2=tiny_tokenizer(folder),
        unet=build_tiny_unet(
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=5 * 8 + 32,
        ),
        scheduler=tiny_scheduler(),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )
    return _save(pipe, folder)


def build_small_xl_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write an SDXL-shaped pipeline that is large enough to be timed: 64x64 pixels, 0.05 s a step."""
    return build_tiny_xl_pipeline(folder, seed, sample_size=32, block_out_channels=(64, 128), attention_head_dim=16)


def build_tiny_sd3_pipeline(folder: Path, seed: int = 0, *, second: int = 32, layers: int = 1) -> Path:
    """Write a `tiny_sd3`."""
    torch.manual_seed(seed)
    return _save(tiny_sd3(folder, second=second, layers=layers), folder)


def tiny_sd3(folder: Path, *, second: int = 32, layers: int = 1, **more: Any) -> StableDiffusion3Pipeline:
    """A Stable Diffusion 3 pipeline: two CLIP encoders and T5, a transformer with two streams, flow matching.

    The second CLIP encoder is as wide as asked for. The last of its layers takes nothing from ControlNets. ``more`` is
    said to the transformer.
    """
    return StableDiffusion3Pipeline(
        vae=tiny_vae(latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=tiny_clip(),
        text_encoder_2=tiny_clip(second),
        text_encoder_3=tiny_t5(32 + second),
        tokenizer=tiny_tokenizer(folder),
        tokenizer_2=tiny_tokenizer(folder),
        tokenizer_3=tiny_t5_tokenizer(),
        transformer=SD3Transformer2DModel(
            sample_size=SIDE // 2,
            num_layers=layers,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32 + second,
            caption_projection_dim=16,
            pooled_projection_dim=32 + second,
            pos_embed_max_size=16,
            **more,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def build_tiny_flux_pipeline(folder: Path, seed: int = 0, *, guided: bool = True) -> Path:
    """Write a FLUX pipeline that is told its guidance (dev), or one that knows none (schnell)."""
    torch.manual_seed(seed)
    pipe = FluxPipeline(
        vae=tiny_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=tiny_t5(32),
        tokenizer=tiny_tokenizer(folder),
        tokenizer_2=tiny_t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(2, 2, 4),
            guidance_embeds=guided,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guided, shift=3.0 if guided else 1.0),
    )
    return _save(pipe, folder)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "sd1": build_tiny_pipeline,
    "sd2": build_tiny_v2_pipeline,
    "sd1_inpainting": build_tiny_inpainting_pipeline,
    "sdxl": build_tiny_xl_pipeline,
    "sdxl_refiner": build_tiny_refiner,
    "sd3": build_tiny_sd3_pipeline,
    "flux_dev": build_tiny_flux_pipeline,
    "flux_schnell": partial(build_tiny_flux_pipeline, guided=False),
}


def write_tiny_lora(tiny: Path, file: Path, seed: int, scale: float = 1.0) -> str:
    """Write a LoRA for the tiny pipeline's denoiser and text encoder, its random numbers times ``scale``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with loading():
        pipe = StableDiffusionPipeline.from_pretrained(tiny)
    torch.manual_seed(seed)
    layers = {}
    for part, targets in ((pipe.unet, ["to_q", "to_v"]), (pipe.text_encoder, ["q_proj", "v_proj"])):
        part.add_adapter(LoraConfig(r=2, target_modules=targets))
        for parameter in (parameter for name, parameter in part.named_parameters() if "lora_" in name):
            torch.nn.init.normal_(parameter)
            parameter.data *= scale
        layers[part] = convert_state_dict_to_diffusers(get_peft_model_state_dict(part))
    unet, text = layers.values()
    StableDiffusionPipeline.save_lora_weights(
        file.parent, unet_lora_layers=unet, text_encoder_lora_layers=text, weight_name=file.name
    )
    return str(file)


@cache
def stock_pipeline(folder: Path) -> DiffusionPipeline:
    """The pipeline as diffusers loads it; what ours is compared with."""
    options = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    with loading():
        pipe = DiffusionPipeline.from_pretrained(folder, **options, **picture_processors(str(folder)))
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


def _build_stable_diffusion(
    folder: Path, seed: int, kind: type[DiffusionPipeline], channels: int = 4, **noise: Any
) -> Path:
    torch.manual_seed(seed)
    pipe = kind(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=tiny_tokenizer(folder),
        unet=build_tiny_unet(cross_attention_dim=32, in_channels=channels),
        scheduler=tiny_scheduler(**noise),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(pipe, folder)


def _save(pipe: DiffusionPipeline, folder: Path) -> Path:
    pipe.save_pretrained(folder)
    return folder


def tiny_deep_vae(levels: int, **options: Any) -> AutoencoderKL:
    """An autoencoder of so many levels, each but the last of which halves the sides."""
    return AutoencoderKL(
        block_out_channels=(4,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        **options,
    )


def tiny_vae(latent_channels: int = 4, **options: Any) -> AutoencoderKL:
    """An autoencoder that halves the sides."""
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=SIDE,
        **options,
    )


def build_tiny_unet(**conditions: Any) -> UNet2DConditionModel:
    """A denoiser of one-layer blocks; ``conditions`` are said to it."""
    usual: dict[str, Any] = {
        "sample_size": SIDE // 2,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**usual, **conditions})


def tiny_clip(width: int = 32) -> CLIPTextModelWithProjection:
    """A CLIP text encoder of one layer, with its projection."""
    return CLIPTextModelWithProjection(_text_config(width))


def tiny_text_model(width: int = 32, *, tokens: int = 16) -> CLIPTextModel:
    """The same without a projection, as Stable Diffusion 1 reads prompts, for so many tokens."""
    return CLIPTextModel(_text_config(width, tokens))


def _text_config(width: int = 32, tokens: int = 16) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=_VOCABULARY_SIZE,
        hidden_size=width,
        intermediate_size=32,
        projection_dim=width,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=tokens,
        bos_token_id=_VOCABULARY_SIZE - 2,
        eos_token_id=_VOCABULARY_SIZE - 1,
        pad_token_id=_VOCABULARY_SIZE - 1,
    )


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!'-"
_VOCABULARY_SIZE = 2 * len(LETTERS) + 2


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """One token a letter: every prompt differs, no merges to learn."""
    tokens = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = folder / "vocabulary.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    merges.write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=16)


def tiny_t5(width: int, **more: Any) -> T5EncoderModel:
    """A T5 encoder of one layer; ``more`` is said to its configuration."""
    config = T5Config(vocab_size=len(T5_TOKENS), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, **more)
    return T5EncoderModel(config)


T5_TOKENS = ["<pad>", "</s>", "<unk>", "▁", *LETTERS]


def tiny_t5_tokenizer() -> T5Tokenizer:
    """One token a letter."""
    return T5Tokenizer(vocab=[(token, -1.0) for token in T5_TOKENS], extra_ids=0)


def tiny_scheduler(**noise: Any) -> EulerDiscreteScheduler:
    """Euler's method with Stable Diffusion's noise."""
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return EulerDiscreteScheduler(**betas, steps_offset=1, **noise)
