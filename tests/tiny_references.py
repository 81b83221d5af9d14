"""Tiny but real ControlNets and IP-Adapters for the tiny pipelines, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false

from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.tiny_models import SIDE, stock_pipeline

PROJECTION = 16
"""Width of the image encoder's vectors."""


def write_tiny_controlnet(tiny: Path, folder: Path, seed: int) -> str:
    """Write a ControlNet for the pipeline in ``tiny`` that changes its pictures."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(stock_pipeline(tiny).unet, conditioning_embedding_out_channels=(4, 8))
    for name, parameter in net.named_parameters():
        if "controlnet_" in name:  # a new one begins with zeros, so it would do nothing
            torch.nn.init.normal_(parameter, std=0.1)
    net.save_pretrained(folder)
    return str(folder)


def write_tiny_encoder(folder: Path) -> str:
    """Write the image encoder that tiny adapters read."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, image_size=SIDE, patch_size=4, projection_dim=PROJECTION)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return str(folder)


def write_tiny_adapter(tiny: Path, file: Path, seed: int) -> str:
    """Write an IP-Adapter for the pipeline in ``tiny``, as its authors' files are."""
    torch.manual_seed(seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    unet = stock_pipeline(tiny).unet
    width = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * width, PROJECTION),
        "image_proj.proj.bias": torch.randn(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    crossing = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    names = {name.removesuffix(".processor"): 2 * i + 1 for i, name in enumerate(crossing)}
    for name, number in names.items():
        hidden = unet.get_submodule(name).to_q.out_features
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{number}.{part}.weight"] = torch.randn(hidden, width)
    save_file(tensors, file)
    return str(file)


def write_reference_files(tiny: Path, data: Path, name: str = "tiny") -> None:
    """Write every kind of them for the pipeline in ``tiny``, where the data folder has them for the model ``name``."""
    for seed, kind in enumerate(("canny", "depth", "scribble", "pose")):
        write_tiny_controlnet(tiny, data / "controlnets" / name / kind, seed)
    write_tiny_encoder(data / "adapters" / name / "image_encoder")
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
