"""How diffusers loads the IP-Adapters of each family, with the image encoders that they read."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers.loaders.ip_adapter import FluxIPAdapterMixin, SD3IPAdapterMixin
from transformers import CLIPVisionModelWithProjection, SiglipImageProcessor, SiglipVisionModel

from limner.generators.loading import loading

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


@loading()
def read_image_encoder(pipe: DiffusionPipeline, folder: str) -> dict[str, Any]:
    """The pipeline's parts that read pictures; the CLIP families' loader adds the one that prepares them."""
    is_sd3 = isinstance(pipe, SD3IPAdapterMixin)
    kind: Any = SiglipVisionModel if is_sd3 else CLIPVisionModelWithProjection
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "dtype": denoiser_of(pipe).dtype}
    parts = {"image_encoder": kind.from_pretrained(folder, **options).to(pipe._execution_device).eval()}
    if is_sd3:
        parts["feature_extractor"] = SiglipImageProcessor.from_pretrained(folder, local_files_only=True)
    return parts


@loading()
def load_adapters(pipe: Any, files: Sequence[Path]) -> None:
    """Put the IP-Adapters in these files into the pipeline's denoiser."""
    folders, names = [str(file.parent) for file in files], [file.name for file in files]
    local: dict[str, Any] = {"subfolder": "", "local_files_only": True}
    if isinstance(pipe, SD3IPAdapterMixin):
        pipe.load_ip_adapter(folders[0], weight_name=names[0], image_encoder_folder=None, **local)
    elif isinstance(pipe, FluxIPAdapterMixin):
        pipe.load_ip_adapter(folders, weight_name=names, image_encoder_pretrained_model_name_or_path=None, **local)
    else:
        pipe.load_ip_adapter(folders, weight_name=names, image_encoder_folder=None, **local)


def set_scales(pipe: Any, scales: list[Any]) -> None:
    """Let each IP-Adapter in the denoiser count by its scale; SD3 takes one adapter only."""
    pipe.set_ip_adapter_scale(scales[0] if isinstance(pipe, SD3IPAdapterMixin) else scales)


def images_for(pipe: Any, prompts: list[list[Any]]) -> dict[str, Any]:
    """The arguments of the pipeline's call for the pictures of each IP-Adapter."""
    if not prompts:
        return {}
    if isinstance(pipe, SD3IPAdapterMixin):
        return {"ip_adapter_image": prompts[0][0]}
    # Some of FLUX's pipelines make the negative pictures for one adapter only, and FLUX has no negative prompt here.
    return {"ip_adapter_image": prompts, "negative_ip_adapter_image": prompts}


def denoiser_of(pipe: Any) -> Any:
    """A pipeline's UNet or transformer."""
    return getattr(pipe, "unet", None) or pipe.transformer
