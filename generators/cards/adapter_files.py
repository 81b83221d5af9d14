"""Checks a model's IP-Adapters from their headers alone, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from limner.generators.cards.card_schema import read_table
from limner.generators.cards.controlnet_files import COPY, SAME_FAMILY, width_of
from limner.generators.cards.model_files import ModelFault, read_header, weights_fault
from limner.generators.references import OF_ADAPTERS
from limner.generators.sentences import sentence

_ENCODER = sentence("put that adapter's folder image_encoder beside it")
_OF_UNETS = ("image_proj.proj.weight", "image_proj.proj.0.weight", "image_proj.proj_in.weight")
"""The layers with which IP-Adapters of UNets (plain, full face, plus) read the image encoder's output."""
_OF_FLUX = ("ip_adapter_proj_model.proj.weight", "image_proj.proj.weight")
_KEYS_OF_FLUX = (
    "double_blocks.{}.processor.ip_adapter_double_stream_k_proj.weight",
    "double_blocks.{}.ip_adapter_double_stream_k_proj.weight",
    "ip_adapter.{}.to_k_ip.weight",
)
"""The names that diffusers' loader of FLUX's IP-Adapters takes for a layer's keys."""
Shapes = Mapping[str, tuple[int, ...]]


class _Adapter(NamedTuple):
    """What an IP-Adapter's header says of it."""

    fits: bool
    #: The width of the vectors that it reads from an image encoder.
    reads: int


class _Encoder(NamedTuple):
    """What IP-Adapters of a family read from an image encoder."""

    #: The sizes in its configuration that may be the width of what they read, with transformers' defaults.
    widths: dict[str, int]
    #: What diffusers loads beside its weights.
    files: tuple[str, ...] = ()


def adapter_fault(
    pipeline: str, role: str, file: Path, denoiser: dict[str, Any], encoder: Path | None
) -> ModelFault | None:
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
        return ModelFault(sentence("its adapter {name} is no safetensors file, or is cut off", name=role), COPY)
    read, of_family = _FAMILIES[pipeline]
    adapter = read(shapes, denoiser)
    if adapter is None:
        return ModelFault(
            sentence("its adapter {name} is no IP-Adapter that reads pictures", name=role), sentence("take another one")
        )
    if not adapter.fits:
        return ModelFault(sentence("its adapter {name} was made for another kind of model", name=role), SAME_FAMILY)
    return _encoder_fault(role, adapter.reads, encoder, of_family)


def _encoder_fault(role: str, width: int, encoder: Path | None, wanted: _Encoder) -> ModelFault | None:
    """The problem of an IP-Adapter that reads vectors of this width from an image encoder; None if there is none."""
    config = read_table(encoder / "config.json") if encoder else {}
    if encoder is None or not config:
        return ModelFault(sentence("its adapter {name} has no image encoder", name=role), _ENCODER)
    if fault := weights_fault(encoder, encoder.name):
        return fault
    vision = cast("dict[str, Any]", config.get("vision_config", config))  # of a model for texts too, or of this part
    if width not in [vision.get(key, usual) for key, usual in wanted.widths.items()]:
        return ModelFault(sentence("its adapter {name} reads another image encoder", name=role), _ENCODER)
    if lacking := [name for name in wanted.files if not (encoder / name).is_file()]:
        return ModelFault(
            sentence("the image encoder of its adapter {name} has no {file}", name=role, file=lacking[0]), COPY
        )
    return None


def _of_unet(shapes: Shapes, unet: dict[str, Any]) -> _Adapter | None:
    keys = shapes.get("ip_adapter.1.to_k_ip.weight", ())
    read = _second(shapes, _OF_UNETS)
    if len(keys) != 2 or read is None:
        return None
    return _Adapter(keys[1] == unet.get("cross_attention_dim"), read)


def _of_flux(shapes: Shapes, transformer: dict[str, Any]) -> _Adapter | None:
    read, layers = _second(shapes, _OF_FLUX), transformer.get("num_layers", 0)
    found = [next((shapes[n] for name in _KEYS_OF_FLUX if (n := name.format(i)) in shapes), ()) for i in range(layers)]
    if read is None or not any(found):
        return None
    return _Adapter(set(found) == {(width_of(transformer), transformer.get("joint_attention_dim"))}, read)


def _of_sd3(shapes: Shapes, transformer: dict[str, Any]) -> _Adapter | None:
    read, width = _second(shapes, ("image_proj.proj_in.weight",)), width_of(transformer)
    layers = transformer.get("num_layers", 0) + len(transformer.get("dual_attention_layers", ()))
    found = [shapes.get(f"ip_adapter.{number}.to_k_ip.weight", ()) for number in range(layers)]
    written = shapes.get("image_proj.proj_out.weight", ())
    if read is None or not any(found) or len(written) != 2:
        return None
    return _Adapter(set(found) == {(width, width)} and written[0] == width, read)


def _second(shapes: Shapes, names: tuple[str, ...]) -> int | None:
    """The width of what the first of these layers that there is reads."""
    shape = next((shapes[name] for name in names if name in shapes), ())
    return shape[1] if len(shape) == 2 else None


_CLIP = _Encoder({"projection_dim": 512, "hidden_size": 768})
_FAMILIES: dict[str, tuple[Callable[[Shapes, dict[str, Any]], _Adapter | None], _Encoder]] = {
    "StableDiffusionPipeline": (_of_unet, _CLIP),
    "StableDiffusionXLPipeline": (_of_unet, _CLIP),
    "FluxPipeline": (_of_flux, _Encoder({"projection_dim": 512})),
    "StableDiffusion3Pipeline": (_of_sd3, _Encoder({"hidden_size": 768}, ("preprocessor_config.json",))),
}
