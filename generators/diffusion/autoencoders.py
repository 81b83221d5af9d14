"""Replaces the weights of a pipeline's autoencoder by those in a file of their own."""

# pyright: basic

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors import SafetensorError
from safetensors.torch import load_file

from limner.generators.errors import ModelNotFound
from limner.generators.loading import loading
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


WRONG = sentence(
    "The file that this model's limner.json names as vae is no autoencoder for it; the operator must change that."
)


def replace_autoencoder(pipe: DiffusionPipeline, file: Path) -> None:
    """Give the autoencoder the weights in a safetensors file, laid out as diffusers or Stable Diffusion's code do it.

    Raises:
        ModelNotFound: the file is missing or broken, holds other layers, or what is no number.
    """
    try:
        tensors = load_file(file)
        if not any(name.startswith("encoder.down_blocks.") for name in tensors):
            tensors = convert_ldm_vae_checkpoint(tensors, pipe.vae.config)
        with loading():
            pipe.vae.load_state_dict(tensors)
    except (OSError, SafetensorError, LookupError, RuntimeError) as error:
        raise ModelNotFound(WRONG) from error
    if not all(weight.isfinite().all() for weight in pipe.vae.parameters()):
        raise ModelNotFound(WRONG)
