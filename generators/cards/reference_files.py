"""A model's ControlNets and IP-Adapters: found and checked from their headers alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.card_schema import read_table
from limner.generators.cards.model_files import ModelFault, read_header, weights_fault
from limner.generators.references import OF_ADAPTERS, OF_CONTROLNETS, Role
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText

CONTROLNETS, ADAPTERS, IMAGE_ENCODER = "controlnets", "adapters", "image_encoder"
BLOCKS = "adapter_blocks"
REFERRING = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""diffusers pipelines whose pictures may have references and control pictures here."""
_COPY = sentence("copy or download it again, or take it out")
_SAME_FAMILY = sentence("take one that was trained with this model's family")
_ENCODER = sentence("put that adapter's folder image_encoder beside it")
_READS = ("image_proj.proj.weight", "image_proj.proj.0.weight", "image_proj.proj_in.weight")
"""The layers with which IP-Adapters (plain, full face, plus) read the image encoder's output."""


@dataclass(frozen=True)
class ReferenceFiles:
    """The usable folders and files, and what is wrong with the others."""

    controlnets: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])
    image_encoder: str = ""
    faults: tuple[ModelFault, ...] = ()


def find_references(
    said: Mapping[str, Any], folder: Path, data: Path | None, name: str, unet: dict[str, Any]
) -> ReferenceFiles:
    """The ControlNets and IP-Adapters of a model.

    Args:
        said: the model's limner.json, whose paths begin at its folder.
        folder: the model's folder.
        data: the data folder, with ``controlnets/MODEL/KIND``, ``adapters/MODEL/ROLE.safetensors`` and
            ``adapters/MODEL/image_encoder``.
        name: the model's name.
        unet: the configuration of its denoiser.
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
        if fault := _controlnet_fault(kind, path, unet):
            faults[path] = fault
    for role, file in adapters.items():
        if fault := _adapter_fault(role, file, unet, encoder):
            faults[file] = fault
    # A blend is read by the adapter for subjects, otherwise by that for styles.
    usable = {role: str(file) for role, file in adapters.items() if file not in faults}
    if blend := usable.get(Role.BLEND) or usable.get(Role.SUBJECT) or usable.get(Role.STYLE):
        usable[Role.BLEND] = blend
    wrong = {role: fault for role, share in shares.items() if (fault := _share_fault(role, share, unet, usable))}
    usable = {role: file for role, file in usable.items() if role not in wrong}
    return ReferenceFiles(
        {kind: str(path) for kind, path in controlnets.items() if path not in faults},
        usable,
        str(encoder) if usable else "",
        (*faults.values(), *wrong.values()),
    )


def _subfolders(folder: Path | None) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder and folder.is_dir() else {}


def _paths(said: Mapping[str, str], folder: Path) -> dict[str, Path]:
    return {name: folder / path for name, path in said.items()}


def _controlnet_fault(kind: str, folder: Path, unet: dict[str, Any]) -> ModelFault | None:
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
        return ModelFault(str(error).rstrip("."), _COPY)
    if not config:
        return ModelFault(sentence("its ControlNet {name} has no config.json", name=kind), _COPY)
    if fault := weights_fault(folder, kind):
        return fault
    if any(config.get(key) != unet.get(key) for key in ("cross_attention_dim", "block_out_channels")):
        return ModelFault(sentence("its ControlNet {name} was made for another kind of model", name=kind), _SAME_FAMILY)
    return None


def _adapter_fault(role: str, file: Path, unet: dict[str, Any], encoder: Path | None) -> ModelFault | None:
    """The problem of an IP-Adapter's file; None if there is none."""
    if role not in OF_ADAPTERS:
        return ModelFault(
            sentence("its adapter {name} is of no known role", name=role),
            sentence("name it one of {kinds}", kinds=", ".join(OF_ADAPTERS)),
        )
    try:
        tensors = read_header(file)
        shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ModelFault(sentence("its adapter {name} is no safetensors file, or is cut off", name=role), _COPY)
    keys = shapes.get("ip_adapter.1.to_k_ip.weight", ())
    read = next((shapes[name][1:] for name in _READS if name in shapes), ())
    if len(keys) != 2 or len(read) != 1:
        return ModelFault(
            sentence("its adapter {name} is no IP-Adapter that reads pictures", name=role), sentence("take another one")
        )
    if keys[1] != unet.get("cross_attention_dim"):
        return ModelFault(sentence("its adapter {name} was made for another kind of model", name=role), _SAME_FAMILY)
    return _encoder_fault(role, read[0], encoder)


def _encoder_fault(role: str, width: int, encoder: Path | None) -> ModelFault | None:
    """The problem of an IP-Adapter that reads vectors of this width from an image encoder; None if there is none."""
    config = read_table(encoder / "config.json") if encoder else {}
    if encoder is None or not config:
        return ModelFault(sentence("its adapter {name} has no image encoder", name=role), _ENCODER)
    if fault := weights_fault(encoder, encoder.name):
        return fault
    widths = (config.get("projection_dim", 512), config.get("hidden_size", 768))  # transformers' defaults
    if width not in widths:
        return ModelFault(sentence("its adapter {name} reads another image encoder", name=role), _ENCODER)
    return None


def _share_fault(role: str, share: Any, unet: dict[str, Any], usable: Mapping[str, str]) -> ModelFault | None:
    """The problem of the part of adapter_blocks for a role; None if there is none."""
    if role not in usable:
        return ModelFault(
            sentence("its adapter_blocks name {name}, for which it has no usable adapter", name=role),
            sentence("add that adapter, or take the name out"),
        )
    blocks = _layers(unet)
    if lacking := _lacking(share, blocks):
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
    """The blocks of a UNet that read prompts, as diffusers' ``set_ip_adapter_scale`` names them, with their layers."""
    found, layers = dict[str, int](), unet.get("layers_per_block", 2)
    for side, count in (("down", layers), ("up", layers + 1)):
        kinds: list[str] = unet.get(f"{side}_block_types", [])
        found |= {f"{side}.block_{number}": count for number, kind in enumerate(kinds) if "CrossAttn" in kind}
    return found | ({"mid": 1} if "CrossAttn" in str(unet.get("mid_block_type", "CrossAttn")) else {})


def _lacking(share: Any, blocks: Mapping[str, int]) -> list[str]:
    """The names in a table of blocks for which diffusers has no attention, or other numbers of layers."""
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
