"""One checkpoint: its family and its parts, from the header of the file and what lies beside it, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.card_schema import read_table
from limner.generators.cards.checkpoints.families import FAMILIES, CheckpointFamily, Table
from limner.generators.cards.few_steps import named_few_steps
from limner.generators.cards.model_files import (
    LIBRARIES,
    ModelFault,
    default_weights,
    pipeline_fault,
    read_header,
    read_metadata,
    weights_fault,
)
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText

LONGEST_HEADER = 16 * 2**20
"""Bytes of a checkpoint's header that are read; Stable Diffusion XL's has about 250,000."""
SHARED = "parts"
"""The folder beside checkpoints with parts that several of them lack, in a folder for each family."""
PREFIX = "model.diffusion_model."
UNET_INPUT = f"{PREFIX}input_blocks.0.0.weight"
INSIDE = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0.transformer.", "text_encoders.clip_l."),
    "text_encoder_2": (
        "conditioner.embedders.1.model.",
        "conditioner.embedders.0.model.",
        "text_encoders.clip_g.",
    ),
    "text_encoder_3": ("text_encoders.t5xxl.",),
}
"""The beginnings of tensors' names by the part that they belong to."""
LEFT_OUT = {"StableDiffusion3Pipeline": ("text_encoder_3", "tokenizer_3")}
"""Parts that a pipeline can do without; T5 is larger than all other parts of Stable Diffusion 3."""
NOT_READ = ("feature_extractor", "image_encoder", "safety_checker")
"""Parts that a published configuration may name and no family's checkpoint has."""
NEEDED: dict[str, dict[str, type]] = {
    "model_index.json": {"_class_name": str},
    "scheduler/scheduler_config.json": {"_class_name": str},
    "unet/config.json": {"block_out_channels": list, "in_channels": int},
}
"""What must be in the files of a configuration, as far as the family has them."""
CLIP = "CLIPTokenizer"
"""The tokenizer whose vocabulary ships."""
PICKLES = (".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Checkpoint:
    """A model in one safetensors file, or its denoiser in one GGUF file.

    Beside a file ``NAME.safetensors`` there may be a folder ``NAME`` with a ``limner.json``, with parts in diffusers'
    layout that replace the file's own (``NAME/vae``), or with a whole diffusers configuration, and a folder ``parts``
    with what several files lack (``parts/flux/text_encoder_2``).
    """

    file: Path
    family: CheckpointFamily
    inside: frozenset[str]
    """The parts whose weights are in the file."""
    changes: Mapping[str, Any]
    """What the file says about its scheduler."""

    @classmethod
    def read(cls, file: Path, said: Mapping[str, Any]) -> Checkpoint:
        """Read the header of a file; ``said`` are the fields of its limner.json.

        Raises:
            BadText: the file is no checkpoint of a known family, or it is broken; why continues "NAME ...".
        """
        tensors = _tensors(file)
        name = _gguf_family(tensors) if file.suffix == ".gguf" else _family(tensors)
        changes = _noise(tensors, file, said)
        if name == "sd2" and changes.get("prediction_type") == "epsilon":
            name = "sd2_base"
        family = FAMILIES[name]
        if (few := named_few_steps(file.stem)) and not family.pipeline.startswith(("StableDiffusion3", "Flux")):
            changes = {**few.scheduler, **changes}
        inside = {part for part, begins in INSIDE.items() if any(key.startswith(begins) for key in tensors)}
        if family.pipeline == "FluxPipeline" and "text_encoder_3" in inside:  # FLUX calls T5 its second one
            inside |= {"text_encoder_2"}
        return cls(file, family, frozenset(inside | {"unet", "transformer"}), changes)

    @property
    def folder(self) -> Path:
        """The folder of the same name beside the file, whether it is there or not."""
        return self.file.with_suffix("")

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The JSON files of a diffusers folder that describes this model, by their paths in it.

        Raises:
            BadText: the configuration beside the file cannot be used.
        """
        tables = self._own_tables() or self.family.tables()
        scheduler = tables["scheduler/scheduler_config.json"] = {
            **tables["scheduler/scheduler_config.json"],
            **self.changes,
        }
        if self.changes.get("rescale_betas_zero_snr") and scheduler["_class_name"] == "PNDMScheduler":
            scheduler["_class_name"] = "EulerDiscreteScheduler"  # PNDM's cannot begin without any signal
        index = tables["model_index.json"] = dict(tables["model_index.json"])
        for part in index.keys() & {*self.missing, *NOT_READ}:
            index[part] = [None, None]
        return tables

    @cached_property
    def parts(self) -> dict[str, Path]:
        """The folders of parts that are not read from the file."""
        return {name: folder for name in self._named if (folder := self._beside(name))}

    @cached_property
    def missing(self) -> list[str]:
        """The parts that are neither in the file nor beside it, nor ship."""
        found = self.inside | set(self.parts) | {"scheduler"}
        return [name for name, kind in self._named.items() if name not in found and kind != CLIP]

    def fault(self) -> ModelFault | None:
        """Why the model cannot be loaded; None if no problem is found."""
        try:
            return next(self._faults(), None)
        except BadText as error:
            return ModelFault(str(error).rstrip("."), sentence("copy or save the model again"))

    def _faults(self) -> Iterator[ModelFault]:
        if fault := pipeline_fault(self.tables["model_index.json"]["_class_name"]):
            yield fault
        if lacking := set(self.missing) - set(LEFT_OUT.get(self.family.pipeline, ())):
            yield ModelFault(
                sentence("it holds no {parts}", parts=", ".join(sorted(lacking))),
                sentence(
                    "copy these folders of {original} into {folder}",
                    original=self.family.original,
                    folder=self.file.parent / SHARED / self.family.shared,
                ),
            )
        for name, folder in self.parts.items():
            if "tokenizer" not in name and (fault := weights_fault(folder, name)):
                yield fault
        yield from self._of_size()

    def _of_size(self) -> Iterator[ModelFault]:
        """The problem of a denoiser of another size than the configuration says."""
        unet = self.tables.get("unet/config.json")
        if unet and _shape(_tensors(self.file), UNET_INPUT)[:2] != [unet["block_out_channels"][0], unet["in_channels"]]:
            yield ModelFault(
                sentence("its denoiser is not of the size of {original}", original=self.family.original),
                sentence("put the model's diffusers configuration into {folder}", folder=self.folder),
            )

    def _own_tables(self) -> dict[str, Table]:
        """The diffusers configuration beside the file; empty if there is none, BadText if it cannot be used."""
        if not (self.folder / "model_index.json").is_file():
            return {}
        found = {file.relative_to(self.folder).as_posix(): read_table(file) for file in self.folder.glob("**/*.json")}
        for path in sorted(self.family.tables().keys() | found.keys()):
            if not _is_usable(path, found.get(path, {})):
                raise BadText(
                    sentence(
                        "{file} is missing, or lacks what diffusers must know; copy it again", file=self.folder / path
                    )
                )
        return found

    @cached_property
    def _named(self) -> dict[str, str]:
        """The class of each part, by its name."""
        index = (self._own_tables() or self.family.tables())["model_index.json"]
        return {
            name: str(cast("list[Any]", wanted)[1])
            for name, wanted in index.items()
            if isinstance(wanted, list) and name not in NOT_READ and wanted[1]
        }

    def _beside(self, part: str) -> Path | None:
        """The folder of a part beside the file: its own in any case, a shared one if the file lacks the part."""
        is_inside = part in self.inside
        places = [self.folder / part]
        places += [] if is_inside else [self.file.parent / SHARED / self.family.shared / part]
        is_tokenizer = "tokenizer" in part
        there = (place for place in places if place.is_dir())
        return next(
            (place for place in there if (any(place.iterdir()) if is_tokenizer else default_weights(place))), None
        )


def _is_usable(path: str, table: Table) -> bool:
    """Whether a file of a configuration has what must be in it, and names parts by their library and class."""
    parts = [cast("list[Any]", each) for name, each in table.items() if isinstance(each, list) and name not in NOT_READ]
    return all(table.get(name) and isinstance(table[name], kind) for name, kind in NEEDED.get(path, {}).items()) and (
        path != "model_index.json"
        or all(part == [None, None] or (len(part) == 2 and part[0] in LIBRARIES) for part in parts)
    )


def is_checkpoint(path: Path) -> bool:
    """Whether a file's name says that it holds a whole model, loadable or not."""
    return path.is_file() and path.suffix in (".safetensors", ".gguf", *PICKLES)


def _tensors(file: Path) -> dict[str, Any]:
    if file.suffix in PICKLES:
        raise BadText(sentence("is a pickle, which is not loaded; save it as safetensors"))
    try:
        return read_header(file, LONGEST_HEADER)
    except ValueError as error:
        raise BadText(str(error) if type(error) is ValueError else sentence("is no safetensors file")) from error
    except (OSError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadText(sentence("is no safetensors file")) from error


def _family(tensors: Mapping[str, Any]) -> str:
    """The name of the family; raises BadText if the file is none of them."""
    if any(name.endswith(("scaled_fp8", ".scale_weight", ".weight_scale")) for name in tensors):
        raise BadText(sentence("has 8-bit weights with scales, which are not known here"))
    if UNET_INPUT in tensors:
        return _unet_family(tensors)
    names = {name.removeprefix(PREFIX) for name in tensors}
    if "joint_blocks.0.context_block.adaLN_modulation.1.bias" in names:
        if "joint_blocks.37.x_block.mlp.fc1.weight" in names:
            return "sd35_large"
        return "sd35_medium" if "joint_blocks.0.x_block.attn2.qkv.weight" in names else "sd3"
    is_chroma = any(name.startswith("distilled_guidance_layer.") for name in names)
    is_flux = "double_blocks.0.img_attn.norm.key_norm.scale" in names and not is_chroma
    if is_flux and _shape(tensors, "img_in.weight", f"{PREFIX}img_in.weight")[1:] in ([64], []):
        return "flux_dev" if "guidance_in.in_layer.bias" in names else "flux_schnell"
    raise BadText(_what_it_is(tensors))


def _gguf_family(tensors: Mapping[str, Any]) -> str:
    """The family of a GGUF file, which holds a denoiser; raises BadText if it is none that is known alone."""
    if UNET_INPUT in tensors:
        raise BadText(sentence("is a GGUF file of a UNet, which is not loaded; use it as safetensors"))
    try:
        return _family(tensors)
    except BadText as error:
        raise BadText(
            sentence(
                "is a GGUF file of another family; put it into the folder transformer of its model's diffusers folder, "
                "or text_encoder, in the place of the weights there"
            )
        ) from error


def _unet_family(tensors: Mapping[str, Any]) -> str:
    channels = [*_shape(tensors, UNET_INPUT), 0, 0][1]
    if channels not in (4, 9):
        raise BadText(sentence("is a model of a kind that is not known here"))
    inpainting = "_inpainting" if channels == 9 else ""
    if f"{PREFIX}label_emb.0.0.weight" in tensors:
        is_refiner = any(name.startswith("conditioner.embedders.0.model.") for name in tensors)
        return "sdxl_refiner" if is_refiner else f"sdxl{inpainting}"
    is_second = any(name.startswith("cond_stage_model.model.") for name in tensors)
    return f"sd2{inpainting}" if is_second else f"sd1{inpainting}"


def _what_it_is(tensors: Mapping[str, Any]) -> str:
    """What another file of weights is, as the end of a sentence."""
    names = list(tensors)
    if any("lora" in name or ".hada_" in name or ".lokr_" in name for name in names):
        return sentence("is a LoRA, not a model; put it into the data folder's loras/NAME")
    if any(name.startswith(("control_model.", "controlnet_cond_embedding.", "input_hint_block.")) for name in names):
        return sentence("is a ControlNet, not a model")
    if any(name.startswith(("encoder.down", "decoder.up")) for name in names):
        return sentence("is a VAE, not a model; name it as a folder beside a model's file")
    if any(name.startswith(("text_model.", "transformer.resblocks.", "encoder.block.")) for name in names):
        return sentence("is a text encoder, not a model")
    return sentence("is a model of a kind that is not known here")


def _noise(tensors: Mapping[str, Any], file: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """The scheduler's settings that differ from the family's.

    Models that predict velocity have an empty tensor ``v_pred``, and ``ztsnr`` for noise that ends at no signal, as
    other tools read them; or the field prediction_type of https://github.com/Stability-AI/ModelSpec.
    """
    metadata = {} if file.suffix == ".gguf" else read_metadata(file, LONGEST_HEADER)
    written = {"v": "v_prediction", "epsilon": "epsilon"}.get(str(metadata.get("modelspec.prediction_type")))
    prediction = said.get("prediction_type") or ("v_prediction" if "v_pred" in tensors else written)
    is_zero = said.get("zero_snr", "ztsnr" in tensors)
    changes: dict[str, Any] = {"prediction_type": prediction} if prediction else {}
    return changes | ({"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if is_zero else {})


def _shape(tensors: Mapping[str, Any], *names: str) -> list[int]:
    """The shape of the first of these tensors that there is; empty for none."""
    return next((list(tensors[name]["shape"]) for name in names if name in tensors), list[int]())
