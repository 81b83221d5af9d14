"""Checks a model's ControlNets from their headers alone, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limner.generators.cards.card_schema import read_table
from limner.generators.cards.model_files import ModelFault, weights_fault
from limner.generators.references import OF_CONTROLNETS
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText

COPY = sentence("copy or download it again, or take it out")
SAME_FAMILY = sentence("take one that was trained with this model's family")
_UNET = ("ControlNetModel", ("cross_attention_dim", "block_out_channels"))
_FITTING = {
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionXLPipeline": _UNET,
    "FluxPipeline": ("FluxControlNetModel", ("in_channels", "joint_attention_dim", "pooled_projection_dim")),
    "StableDiffusion3Pipeline": ("SD3ControlNetModel", ("in_channels", "pooled_projection_dim")),
}
"""diffusers' class of a pipeline's ControlNets, and the sizes that they share with its denoiser."""
_INPUTS = {
    "FluxPipeline": ("conditioning_embedding_channels", "guidance_embeds"),
    "StableDiffusion3Pipeline": ("force_zeros_for_pooled_projection", "joint_attention_dim"),
}
"""What diffusers' pipelines read of the first ControlNet of a request alone, so that all must have it in common."""


def controlnet_fault(pipeline: str, kind: str, folder: Path, denoiser: dict[str, Any]) -> ModelFault | None:
    """The problem of a ControlNet's folder; None if there is none."""
    if kind not in OF_CONTROLNETS.values():
        kinds = ", ".join(dict.fromkeys(OF_CONTROLNETS.values()))
        return ModelFault(
            sentence("its ControlNet {name} is of no known kind", name=kind),
            sentence("name it one of {kinds}", kinds=kinds),
        )
    try:
        config = read_table(folder / "config.json")
    except BadText as error:
        return ModelFault(str(error).rstrip("."), COPY)
    if not config:
        return ModelFault(sentence("its ControlNet {name} has no config.json", name=kind), COPY)
    if fault := weights_fault(folder, kind):
        return fault
    if not _fits(pipeline, config, denoiser):
        return ModelFault(sentence("its ControlNet {name} was made for another kind of model", name=kind), SAME_FAMILY)
    if config.get("num_mode") is not None:
        return ModelFault(
            sentence("its ControlNet {name} takes a number that says what its picture is", name=kind),
            sentence("take one without such modes"),
        )
    return None


def input_of(pipeline: str, folder: Path) -> str:
    """How a ControlNet reads its picture; those of one request must have the same."""
    config = read_table(folder / "config.json")
    return json.dumps([config.get(key) for key in _INPUTS.get(pipeline, ())])


def width_of(transformer: dict[str, Any]) -> Any:
    """The width of the vectors of a transformer's layers."""
    return transformer.get("attention_head_dim", 0) * transformer.get("num_attention_heads", 0)


def _fits(pipeline: str, config: dict[str, Any], denoiser: dict[str, Any]) -> bool:
    name, shared = _FITTING[pipeline]
    is_alike = all(config.get(key) == denoiser.get(key) for key in shared)
    if not is_alike or config.get("_class_name", name) != name:
        return False
    if name == "ControlNetModel":
        return True
    # Extra channels are a mask beside the picture, which belongs to a pipeline of its own.
    return width_of(config) == width_of(denoiser) and not config.get("extra_conditioning_channels")
