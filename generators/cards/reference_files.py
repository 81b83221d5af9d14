"""A model's ControlNets and IP-Adapters: found and checked from their headers alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.adapter_files import adapter_fault
from limner.generators.cards.controlnet_files import controlnet_fault, input_of
from limner.generators.cards.model_files import ModelFault
from limner.generators.cards.reference_limits import LIMITS
from limner.generators.references import Role
from limner.generators.sentences import sentence

CONTROLNETS, ADAPTERS, IMAGE_ENCODER = "controlnets", "adapters", "image_encoder"
BLOCKS = "adapter_blocks"


@dataclass(frozen=True)
class ReferenceFiles:
    """The usable folders and files, and what is wrong with the others."""

    controlnets: Mapping[str, str] = field(default_factory=dict[str, str])
    control_inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])
    image_encoder: str = ""
    faults: tuple[ModelFault, ...] = ()


def find_references(
    pipeline: str, said: Mapping[str, Any], folder: Path, data: Path | None, name: str, denoiser: dict[str, Any]
) -> ReferenceFiles:
    """The ControlNets and IP-Adapters of a model.

    Args:
        pipeline: its pipeline's class, one of `LIMITS`.
        said: the model's limner.json, whose paths begin at its folder.
        folder: the model's folder.
        data: the data folder, with ``controlnets/MODEL/KIND``, ``adapters/MODEL/ROLE.safetensors`` and
            ``adapters/MODEL/image_encoder``.
        name: the model's name.
        denoiser: the configuration of its UNet or transformer.
    """
    beside = data / ADAPTERS / name if data else None
    controlnets = _subfolders(data / CONTROLNETS / name if data else None) | _paths(said.get(CONTROLNETS, {}), folder)
    adapters = {path.stem: path for path in sorted(beside.glob("*.safetensors"))} if beside else {}
    adapters |= _paths(said.get(ADAPTERS, {}), folder)
    encoder = folder / said[IMAGE_ENCODER] if IMAGE_ENCODER in said else beside and beside / IMAGE_ENCODER
    shares = said.get(BLOCKS, {})
    if not controlnets and not adapters and not shares:
        return ReferenceFiles()
    faults = dict[Path, ModelFault]()
    for kind, path in controlnets.items():
        if fault := controlnet_fault(pipeline, kind, path, denoiser):
            faults[path] = fault
    for role, file in adapters.items():
        if fault := adapter_fault(pipeline, role, file, denoiser, encoder):
            faults[file] = fault
    # A blend is read by the adapter for subjects, otherwise by that for styles.
    usable = {role: str(file) for role, file in adapters.items() if file not in faults}
    blends = LIMITS[pipeline].most_prompts is None
    if blends and (blend := usable.get(Role.BLEND) or usable.get(Role.SUBJECT) or usable.get(Role.STYLE)):
        usable[Role.BLEND] = blend
    wrong = {
        role: fault
        for role, share in shares.items()
        if (fault := _share_fault(pipeline, role, share, denoiser, usable))
    }
    usable = {role: file for role, file in usable.items() if role not in wrong}
    found = {kind: path for kind, path in controlnets.items() if path not in faults}
    return ReferenceFiles(
        {kind: str(path) for kind, path in found.items()},
        {kind: input_of(pipeline, path) for kind, path in found.items()},
        usable,
        str(encoder) if usable else "",
        (*faults.values(), *wrong.values()),
    )


def _subfolders(folder: Path | None) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder and folder.is_dir() else {}


def _paths(said: Mapping[str, str], folder: Path) -> dict[str, Path]:
    return {name: folder / path for name, path in said.items()}


def _share_fault(
    pipeline: str, role: str, share: Any, denoiser: dict[str, Any], usable: Mapping[str, str]
) -> ModelFault | None:
    """The problem of the part of adapter_blocks for a role; None if there is none."""
    if role not in usable:
        return ModelFault(
            sentence("its adapter_blocks name {name}, for which it has no usable adapter", name=role),
            sentence("add that adapter, or take the name out"),
        )
    blocks = _layers(denoiser)
    if not blocks and not _fits_layers(pipeline, share, denoiser):
        return ModelFault(
            sentence("its adapter {name} counts in other layers than the denoiser has", name=role),
            sentence(
                "give one number in adapter_blocks, or for FLUX one for each of its {count} layers",
                count=denoiser.get("num_layers", 0),
            ),
        )
    if blocks and (lacking := _lacking(share, blocks)):
        return ModelFault(
            sentence(
                "its adapter {name} counts in blocks that the denoiser does not have: {blocks}",
                name=role,
                blocks=", ".join(lacking),
            ),
            sentence(
                "name some of these in adapter_blocks, with one number or one for each layer: {blocks}",
                blocks=", ".join(f"{name} ({count})" for name, count in blocks.items()),
            ),
        )
    if not _counts(share):
        return ModelFault(
            sentence("its adapter {name} counts in no block", name=role),
            sentence("give a block more than 0 in adapter_blocks"),
        )
    return None


def _layers(unet: dict[str, Any]) -> dict[str, int]:
    """The blocks of a UNet that read prompts, as diffusers' ``set_ip_adapter_scale`` names them, with their layers.

    A transformer has none.
    """
    if "down_block_types" not in unet:
        return {}
    found, layers = dict[str, int](), unet.get("layers_per_block", 2)
    for side, count in (("down", layers), ("up", layers + 1)):
        kinds: list[str] = unet.get(f"{side}_block_types", [])
        found |= {f"{side}.block_{number}": count for number, kind in enumerate(kinds) if "CrossAttn" in kind}
    return found | ({"mid": 1} if "CrossAttn" in str(unet.get("mid_block_type", "CrossAttn")) else {})


def _fits_layers(pipeline: str, share: Any, transformer: dict[str, Any]) -> bool:
    """Whether diffusers takes it as the scale of an adapter of a transformer: one number, or FLUX's for each layer."""
    if isinstance(share, list):
        is_flux, numbers = pipeline == "FluxPipeline", cast("list[Any]", share)
        return is_flux and len(numbers) == transformer.get("num_layers") and _fits(numbers, {len(numbers)})
    return not isinstance(share, dict)


def _lacking(share: Any, blocks: Mapping[str, int]) -> list[str]:
    """The names in a table of blocks for which diffusers has no attention, or other numbers of layers."""
    if isinstance(share, list):
        return [str(cast("list[Any]", share))]
    if not isinstance(share, dict):
        return []
    named: dict[str, Any] = {}
    for side, value in cast("dict[str, Any]", share).items():
        parts = cast("dict[str, Any]", value) if side in ("down", "up") and isinstance(value, dict) else {}
        named |= {f"{side}.{block}": layers for block, layers in parts.items()} if parts else {side: value}
    return [name for name, value in named.items() if not _fits(value, _of(name, blocks))]


def _of(name: str, blocks: Mapping[str, int]) -> set[int]:
    """The numbers of layers of the block of that name, or of all blocks on that side."""
    return {count for block, count in blocks.items() if name in (block, block.partition(".")[0])}


def _fits(value: Any, layers: set[int]) -> bool:
    if isinstance(value, list):
        numbers = cast("list[Any]", value)
        is_flat = not any(isinstance(number, dict | list) for number in numbers)
        return bool(layers) and is_flat and (len(numbers) == 1 or layers == {len(numbers)})
    return bool(layers) and not isinstance(value, dict)


def _counts(share: Any) -> bool:
    if isinstance(share, dict | list):
        parts = cast("dict[str, Any]", share).values() if isinstance(share, dict) else cast("list[Any]", share)
        return any(map(_counts, parts))
    return share > 0
