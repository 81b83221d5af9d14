"""The families of checkpoints: the diffusers configuration of each, as its maker published it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Table = dict[str, Any]


class CheckpointFamily(NamedTuple):
    """What diffusers must know of a family, and a checkpoint does not say.

    Attributes:
        pipeline: the class of the stock pipeline.
        parts: the configuration of each part but tokenizers, with its library and class.
        original: the folder on the hub, where parts that a file lacks can be had.
        shared: the name of the folder of such parts.
        options: more arguments of the pipeline.
    """

    pipeline: str
    parts: Mapping[str, Table]
    original: str
    shared: str
    options: Mapping[str, Any] = {}

    def tables(self) -> dict[str, Table]:
        """The JSON files of a diffusers folder of this family, by their paths in it."""
        index: Table = {"_class_name": self.pipeline, **self.options}
        found: dict[str, Table] = {"model_index.json": index}
        for name, table in self.parts.items():
            kind = table["_class_name"]
            library = "transformers" if kind.startswith(("CLIP", "T5")) else "diffusers"
            index[name] = [library, kind]
            if name == "scheduler":
                found["scheduler/scheduler_config.json"] = table
            elif "Tokenizer" in kind:
                found[f"{name}/tokenizer_config.json"] = table
            else:
                found[f"{name}/config.json"] = table
        return found


def _unet(**changes: Any) -> Table:
    return {
        "_class_name": "UNet2DConditionModel",
        "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 768,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "in_channels": 4,
        "layers_per_block": 2,
        "sample_size": 64,
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        **changes,
    }


def _xl_unet(**changes: Any) -> Table:
    usual: Table = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "attention_head_dim": [5, 10, 20],
        "block_out_channels": [320, 640, 1280],
        "cross_attention_dim": 2048,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "projection_class_embeddings_input_dim": 2816,
        "sample_size": 128,
        "transformer_layers_per_block": [1, 2, 10],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "use_linear_projection": True,
    }
    return _unet(**usual | changes)


def _vae(**changes: Any) -> Table:
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "latent_channels": 4,
        "layers_per_block": 2,
        "sample_size": 512,
        "scaling_factor": 0.18215,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        **changes,
    }


def _clip(**changes: Any) -> Table:
    return {
        "_class_name": "CLIPTextModel",
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "max_position_embeddings": 77,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "projection_dim": 768,
        "vocab_size": 49408,
        **changes,
    }


def _tokenizer(pad: str = "<|endoftext|>") -> Table:
    return {"_class_name": "CLIPTokenizer", "model_max_length": 77, "pad_token": pad}


def _scheduler(kind: str, **changes: Any) -> Table:
    return {
        "_class_name": kind,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        **changes,
    }


def _flow(**changes: Any) -> Table:
    return {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0, **changes}


def _sd3(**changes: Any) -> Table:
    return {
        "_class_name": "SD3Transformer2DModel",
        "attention_head_dim": 64,
        "caption_projection_dim": 1536,
        "in_channels": 16,
        "joint_attention_dim": 4096,
        "num_attention_heads": 24,
        "num_layers": 24,
        "out_channels": 16,
        "patch_size": 2,
        "pooled_projection_dim": 2048,
        "pos_embed_max_size": 192,
        "sample_size": 128,
        **changes,
    }


_VELOCITY = {"prediction_type": "v_prediction"}
_PROJECTED = {"_class_name": "CLIPTextModelWithProjection", "architectures": ["CLIPTextModelWithProjection"]}
_WIDE_LATENTS = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "sample_size": 1024}
_BIG_CLIP = _clip(
    **_PROJECTED,
    hidden_act="gelu",
    hidden_size=1280,
    intermediate_size=5120,
    num_attention_heads=20,
    num_hidden_layers=32,
    projection_dim=1280,
)
_T5: Table = {
    "_class_name": "T5EncoderModel",
    "architectures": ["T5EncoderModel"],
    "model_type": "t5",
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu",
    "num_heads": 64,
    "num_layers": 24,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": True,
    "vocab_size": 32128,
}
_T5_TOKENIZER: Table = {"_class_name": "T5Tokenizer", "model_max_length": 512}

_SD1 = {
    "unet": _unet(),
    "vae": _vae(),
    "text_encoder": _clip(),
    "tokenizer": _tokenizer(),
    "scheduler": _scheduler("PNDMScheduler"),
}
_SD2 = {
    "unet": _unet(
        attention_head_dim=[5, 10, 20, 20],
        cross_attention_dim=1024,
        sample_size=96,
        upcast_attention=True,
        use_linear_projection=True,
    ),
    "vae": _vae(sample_size=768),
    "text_encoder": _clip(
        hidden_act="gelu",
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=16,
        num_hidden_layers=23,
        projection_dim=512,
    ),
    "tokenizer": _tokenizer("!"),
    "scheduler": _scheduler("DDIMScheduler", **_VELOCITY),
}
_XL = {
    "unet": _xl_unet(),
    "vae": _vae(force_upcast=True, sample_size=1024, scaling_factor=0.13025),
    "text_encoder": _clip(),
    "text_encoder_2": _BIG_CLIP,
    "tokenizer": _tokenizer(),
    "tokenizer_2": _tokenizer("!"),
    "scheduler": _scheduler("EulerDiscreteScheduler", interpolation_type="linear", use_karras_sigmas=False),
}
_REFINER_UNET = _xl_unet(
    attention_head_dim=[6, 12, 24, 24],
    block_out_channels=[384, 768, 1536, 1536],
    cross_attention_dim=1280,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    projection_class_embeddings_input_dim=2560,
    transformer_layers_per_block=4,
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
)
_SD3 = {
    "transformer": _sd3(),
    "vae": _vae(**_WIDE_LATENTS, force_upcast=True, scaling_factor=1.5305, shift_factor=0.0609),
    "text_encoder": _clip(**_PROJECTED),
    "text_encoder_2": _BIG_CLIP,
    "text_encoder_3": _T5,
    "tokenizer": _tokenizer(),
    "tokenizer_2": _tokenizer("!"),
    "tokenizer_3": _T5_TOKENIZER,
    "scheduler": _flow(),
}


def _flux(*, guided: bool) -> dict[str, Table]:
    transformer: Table = {
        "_class_name": "FluxTransformer2DModel",
        "attention_head_dim": 128,
        "axes_dims_rope": [16, 56, 56],
        "guidance_embeds": guided,
        "in_channels": 64,
        "joint_attention_dim": 4096,
        "num_attention_heads": 24,
        "num_layers": 19,
        "num_single_layers": 38,
        "patch_size": 1,
        "pooled_projection_dim": 768,
    }
    shifts: Table = {"base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15}
    return {
        "transformer": transformer,
        "vae": _vae(**_WIDE_LATENTS, force_upcast=True, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": _clip(),
        "text_encoder_2": _T5,
        "tokenizer": _tokenizer(),
        "tokenizer_2": _T5_TOKENIZER,
        "scheduler": _flow(**shifts, shift=3.0 if guided else 1.0, use_dynamic_shifting=guided),
    }


_UNCHECKED = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
"""Stable Diffusion's own safety checker is left out; Limner classifies every picture."""
_XL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"

FAMILIES: dict[str, CheckpointFamily] = {
    "sd1": CheckpointFamily(
        "StableDiffusionPipeline", _SD1, "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd1", _UNCHECKED
    ),
    "sd1_inpainting": CheckpointFamily(
        "StableDiffusionInpaintPipeline",
        {**_SD1, "unet": {**_SD1["unet"], "in_channels": 9}},
        "stable-diffusion-v1-5/stable-diffusion-inpainting",
        "sd1",
        _UNCHECKED,
    ),
    "sd2": CheckpointFamily("StableDiffusionPipeline", _SD2, "stabilityai/stable-diffusion-2-1", "sd2", _UNCHECKED),
    "sd2_base": CheckpointFamily(
        "StableDiffusionPipeline",
        {**_SD2, "unet": {**_SD2["unet"], "sample_size": 64}, "scheduler": _scheduler("PNDMScheduler")},
        "stabilityai/stable-diffusion-2-1-base",
        "sd2",
        _UNCHECKED,
    ),
    "sd2_inpainting": CheckpointFamily(
        "StableDiffusionInpaintPipeline",
        {
            **_SD2,
            "unet": {**_SD2["unet"], "in_channels": 9, "sample_size": 64, "upcast_attention": False},
            "scheduler": _scheduler("PNDMScheduler"),
        },
        "stabilityai/stable-diffusion-2-inpainting",
        "sd2",
        _UNCHECKED,
    ),
    "sdxl": CheckpointFamily(
        "StableDiffusionXLPipeline", _XL, _XL_BASE, "sdxl", {"force_zeros_for_empty_prompt": True}
    ),
    "sdxl_inpainting": CheckpointFamily(
        "StableDiffusionXLInpaintPipeline",
        {**_XL, "unet": _xl_unet(in_channels=9)},
        "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
        "sdxl",
        {"force_zeros_for_empty_prompt": True, "requires_aesthetics_score": False},
    ),
    "sdxl_refiner": CheckpointFamily(
        "StableDiffusionXLImg2ImgPipeline",
        {name: table for name, table in _XL.items() if name not in ("text_encoder", "tokenizer")}
        | {"unet": _REFINER_UNET},
        "stabilityai/stable-diffusion-xl-refiner-1.0",
        "sdxl",
        {
            "text_encoder": [None, None],
            "tokenizer": [None, None],
            "force_zeros_for_empty_prompt": False,
            "requires_aesthetics_score": True,
        },
    ),
    "sd3": CheckpointFamily("StableDiffusion3Pipeline", _SD3, "stabilityai/stable-diffusion-3-medium-diffusers", "sd3"),
    "sd35_medium": CheckpointFamily(
        "StableDiffusion3Pipeline",
        {
            **_SD3,
            "transformer": _sd3(dual_attention_layers=list(range(13)), pos_embed_max_size=384, qk_norm="rms_norm"),
        },
        "stabilityai/stable-diffusion-3.5-medium",
        "sd3",
    ),
    "sd35_large": CheckpointFamily(
        "StableDiffusion3Pipeline",
        {
            **_SD3,
            "transformer": _sd3(caption_projection_dim=2432, num_attention_heads=38, num_layers=38, qk_norm="rms_norm"),
        },
        "stabilityai/stable-diffusion-3.5-large",
        "sd3",
    ),
    "flux_dev": CheckpointFamily("FluxPipeline", _flux(guided=True), "black-forest-labs/FLUX.1-dev", "flux"),
    "flux_schnell": CheckpointFamily("FluxPipeline", _flux(guided=False), "black-forest-labs/FLUX.1-schnell", "flux"),
}
"""Families by name. The values are those of the JSON files in each `original` folder on the hub."""
