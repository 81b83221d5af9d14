"""Tiny but real ControlNets and IP-Adapters for the tiny pipelines, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, FluxControlNetModel, SD3ControlNetModel
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.tiny_models import SIDE, stock_pipeline

PROJECTION = 16
"""Width of the image encoder's vectors."""


def write_tiny_controlnet(tiny: Path, folder: Path, seed: int, **changes: Any) -> str:
    """Write a ControlNet for the pipeline in ``tiny`` that changes its pictures, with changes of its configuration."""
    torch.manual_seed(seed)
    net = _controlnet(stock_pipeline(tiny), changes)
    for name, parameter in net.named_parameters():
        if "controlnet_" in name or "pos_embed_input" in name:  # a new one begins with zeros, so it would do nothing
            torch.nn.init.normal_(parameter, std=0.1)
    net.save_pretrained(folder)
    return str(folder)


def _controlnet(pipe: Any, changes: dict[str, Any]) -> Any:
    if hasattr(pipe, "unet"):
        return ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(4, 8), **changes)
    is_flux = type(pipe.transformer).__name__.startswith("Flux")
    kind = FluxControlNetModel if is_flux else SD3ControlNetModel
    return kind.from_config({**pipe.transformer.config, **changes})


def write_tiny_encoder(tiny: Path, folder: Path) -> str:
    """Write the image encoder that tiny adapters for the pipeline in ``tiny`` read."""
    torch.manual_seed(0)
    sizes = {"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"image_size": SIDE, "patch_size": 4}
    if _is_sd3(tiny):
        SiglipVisionModel(SiglipVisionConfig(**sizes, hidden_size=PROJECTION)).save_pretrained(folder)
        SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
        return str(folder)
    config = CLIPVisionConfig(**sizes, hidden_size=8, projection_dim=PROJECTION)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return str(folder)


def write_tiny_adapter(tiny: Path, file: Path, seed: int) -> str:
    """Write an IP-Adapter for the pipeline in ``tiny``, as its authors' files are."""
    torch.manual_seed(seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    pipe = stock_pipeline(tiny)
    if hasattr(pipe, "unet"):
        tensors = _of_unet(pipe.unet)
    else:
        tensors = _of_sd3(pipe.transformer) if _is_sd3(tiny) else _of_flux(pipe.transformer)
    save_file(tensors, file)
    return str(file)


def _is_sd3(tiny: Path) -> bool:
    return type(stock_pipeline(tiny)).__name__.startswith("StableDiffusion3")


def _projection(width: int, prefix: str) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}.proj.weight": torch.randn(4 * width, PROJECTION),
        f"{prefix}.proj.bias": torch.randn(4 * width),
        f"{prefix}.norm.weight": torch.ones(width),
        f"{prefix}.norm.bias": torch.zeros(width),
    }


def _of_unet(unet: Any) -> dict[str, torch.Tensor]:
    width = unet.config.cross_attention_dim
    tensors = _projection(width, "image_proj")
    crossing = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    names = {name.removesuffix(".processor"): 2 * i + 1 for i, name in enumerate(crossing)}
    for name, number in names.items():
        hidden = unet.get_submodule(name).to_q.out_features
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{number}.{part}.weight"] = torch.randn(hidden, width)
    return tensors


def _of_flux(transformer: Any) -> dict[str, torch.Tensor]:
    width, hidden = transformer.config.joint_attention_dim, transformer.inner_dim
    tensors = _projection(width, "ip_adapter_proj_model")
    for number in range(transformer.config.num_layers):
        for part in ("k", "v"):
            name = f"double_blocks.{number}.processor.ip_adapter_double_stream_{part}_proj"
            tensors |= {f"{name}.weight": torch.randn(hidden, width), f"{name}.bias": torch.randn(hidden)}
    return tensors


def _of_sd3(transformer: Any) -> dict[str, torch.Tensor]:
    hidden, heads = transformer.inner_dim, transformer.config.attention_head_dim
    sizes = {"embed_dim": PROJECTION, "hidden_dim": 64, "heads": 1, "num_queries": 4, "timestep_in_dim": 16}
    parts = {"image_proj": IPAdapterTimeImageProjection(output_dim=hidden, **sizes)}
    for number in range(len(transformer.attn_processors)):
        parts[f"ip_adapter.{number}"] = SD3IPAdapterJointAttnProcessor2_0(
            hidden_size=hidden, ip_hidden_states_dim=hidden, head_dim=heads, timesteps_emb_dim=64
        )
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


def keep_means(folder: Path) -> None:
    """Let the VAE of an SD3 pipeline encode without chance: its latents are their means.

    diffusers draws the latents of SD3's control pictures without the request's generator, so else no two of its calls
    paint the same.
    """
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    half = len(weights["encoder.conv_out.bias"]) // 2
    weights["encoder.conv_out.weight"][half:] = 0
    weights["encoder.conv_out.bias"][half:] = -30.0
    save_file(weights, file, {"format": "pt"})


def write_reference_files(tiny: Path, data: Path, name: str = "tiny") -> None:
    """Write every kind of them for the pipeline in ``tiny``, where the data folder has them for the model ``name``."""
    for seed, kind in enumerate(("canny", "depth", "scribble", "pose")):
        write_tiny_controlnet(tiny, data / "controlnets" / name / kind, seed)
    write_tiny_encoder(tiny, data / "adapters" / name / "image_encoder")
    for seed, role in enumerate(("style", "subject")):
        write_tiny_adapter(tiny, data / "adapters" / name / f"{role}.safetensors", seed)


def write_pictures(folder: Path, count: int = 4) -> list[str]:
    """Write pictures of various sizes to refer to."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    files: list[str] = []
    for number in range(count):
        pixels = random.integers(0, 256, (SIDE + 8 * number, 2 * SIDE, 3), dtype=np.uint8)
        files.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).resize((64, 48 + 8 * number)).save(files[-1])
    return files
