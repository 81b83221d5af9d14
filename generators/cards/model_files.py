"""Checks a model's files from their headers alone, without torch."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

from limner.generators.cards.gguf_header import read_gguf
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, read_json

LONGEST_HEADER = 100 * 2**20
"""Bytes; safetensors itself reads no longer one (https://github.com/huggingface/safetensors#format)."""
VARIANT = re.compile(r"\.fp16[.-]")
WITHOUT_WEIGHTS = re.compile("Tokenizer|Scheduler|Processor|FeatureExtractor")
"""Parts of a pipeline that have JSON files only."""
LIBRARIES = ("diffusers", "transformers")
"""Where the classes of a pipeline's parts come from."""
QUANTIZERS = ("bitsandbytes", "torchao", "sdnq")
"""Packages that diffusers and transformers read weights in fewer bits with; configurations name them so too."""
LFS = b"version https://git-lfs"
"""The beginning of a Git LFS pointer, which stands for a large file."""


class ModelFault(NamedTuple):
    """A problem with a model's files and its fix; each continues a sentence."""

    what: str
    mend: str


def fault_of(folder: Path, kind: str) -> ModelFault | None:
    """Why a model's folder cannot be loaded; None if no problem is found, or the kind is unknown here."""
    try:
        if kind == "diffusion":
            return next(_of_pipeline(folder), None)
        if kind in ("gan", "vae", "cyclegan"):
            return next(_of_weights(folder, sentence("the model")), None)
    except BadText as error:
        return ModelFault(str(error).rstrip("."), sentence("copy or save the model again"))
    return None


def downloaded(source: str) -> Path | None:
    """Where the hub's model ``source`` lies on this machine; None as long as one of its small files is missing."""
    index = _index_on_hub(source)
    if index is None:
        return None
    folder, parts = index
    wanted = [part for part in ("unet", "transformer", "vae") if isinstance(parts.get(part), list)]
    files = [folder / part / "config.json" for part in wanted]
    files += [folder / "scheduler" / "scheduler_config.json"] if "scheduler" in parts else []
    return folder if files and all(file.is_file() for file in files) else None


def _index_on_hub(source: str) -> tuple[Path, dict[str, Any]] | None:
    """The folder and the content of a hub model's model_index.json in the hub's cache, without asking the hub."""
    if source.count("/") != 1 or Path(source).is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index = try_to_load_from_cache(source, "model_index.json")
        return (Path(index).parent, _table(read_json(Path(index)))) if isinstance(index, str) else None
    except (HFValidationError, BadText):
        return None


def pipeline_on_hub(source: str) -> str | None:
    """The pipeline's class of the hub's model ``source``, if its model_index.json is on this machine."""
    index = _index_on_hub(source)
    name = index[1].get("_class_name") if index else None
    return name if isinstance(name, str) else None


def variant_of(folder: Path) -> str | None:
    """The variant of a pipeline's weights to load: fp16 where a part has no others."""
    parts = [part for part in folder.iterdir() if part.is_dir()]
    return "fp16" if any(map(weights_variant, parts)) else None


def weights_variant(folder: Path) -> str | None:
    """The variant of the weights directly in a folder to load: fp16 where there are no others."""
    files = _files(folder)
    return "fp16" if files and all(map(_is_variant, files)) else None


def default_weights(folder: Path) -> list[Path]:
    """The files that are loaded: safetensors, beside which a variant such as fp16 may lie, or else GGUF."""
    files = _files(folder)
    return [file for file in files if not _is_variant(file)] or files or gguf_files(folder)


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF files directly in a folder that has no safetensors."""
    return [] if _files(folder) else sorted(folder.glob("*.gguf"))


def read_header(file: Path, most: int = LONGEST_HEADER) -> dict[str, Any]:
    """The header of a safetensors file, at most ``most`` bytes, or of a GGUF file: its tensors by name.

    Raises:
        ValueError: it is no such file, or it is cut off; the text continues "NAME ...".
    """
    if file.suffix == ".gguf" and not _is_pointer(file):
        return read_gguf(file)
    size = file.stat().st_size
    length, header = _header(file, most)
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    if not all(_is_shape(tensor["shape"]) for tensor in tensors.values()):
        raise ValueError(sentence("is no safetensors file"))
    ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
    if size != 8 + length + max(ends, default=0):
        raise ValueError(sentence("is cut off"))
    return tensors


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) for size in cast("list[Any]", value))


def read_metadata(file: Path, most: int) -> dict[str, Any]:
    """What the maker of a safetensors file wrote about it; the header has at most ``most`` bytes.

    Raises:
        ValueError: it is no such file, it is cut off, or its header is longer.
    """
    return _table(_table(_header(file, most)[1]).get("__metadata__"))


def _header(file: Path, most: int) -> tuple[int, Any]:
    """The length in bytes and the content of a safetensors file's header."""
    if _is_pointer(file):
        raise ValueError(sentence("is a Git LFS pointer, not the file itself"))
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(most, file.stat().st_size):
            raise ValueError(sentence("is no safetensors file, or is cut off"))
        return length, json.loads(opened.read(length))


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(LFS)) == LFS


def named_parts(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The library and the class of each part that a model_index.json names, as far as they are known libraries."""
    parts = {name: cast("list[Any]", value) for name, value in index.items() if isinstance(value, list)}
    return {
        name: (str(part[0]), str(part[1])) for name, part in parts.items() if len(part) == 2 and part[0] in LIBRARIES
    }


def _of_pipeline(folder: Path) -> Iterator[ModelFault]:
    index = folder / "model_index.json"
    if not index.is_file():
        yield ModelFault(sentence("it has no model_index.json"), sentence("name a diffusers folder"))
        return
    listed = _table(read_json(index))
    if fault := pipeline_fault(listed.get("_class_name")):
        yield fault
    for name, wanted in listed.items():
        if not name.startswith("_") and isinstance(wanted, list):
            yield from _of_part(folder / name, [None, *cast("list[Any]", wanted)][-1])


def pipeline_fault(pipeline: object) -> ModelFault | None:
    """The problem of a pipeline's class, as a model_index.json names it; None if diffusers has it."""
    if isinstance(pipeline, str) and f'"{pipeline}"' in _diffusers_names():
        return None
    return ModelFault(
        sentence("diffusers knows no pipeline {pipeline!r}", pipeline=pipeline),
        sentence("install a newer diffusers, or name another model"),
    )


def _of_part(part: Path, wanted: object) -> Iterator[ModelFault]:
    """The problem of a part of the class ``wanted``; null stands for an optional part that is left out."""
    if not isinstance(wanted, str):
        return
    if not part.is_dir() and part.name == "safety_checker":
        mend = sentence('copy that folder too, or write "safety_checker": [null, null] in model_index.json')
        yield ModelFault(sentence("it has no folder safety_checker, which its model_index.json names"), mend)
    elif not part.is_dir():
        yield ModelFault(
            sentence("it has no folder {part} ({wanted})", part=part.name, wanted=wanted),
            sentence("copy that folder too"),
        )
    elif not WITHOUT_WEIGHTS.search(wanted):
        if not (part / "config.json").is_file():
            yield ModelFault(sentence("{part} has no config.json", part=part.name), sentence("copy that folder again"))
        elif (package := _quantized_by(_table(read_json(part / "config.json")))) and not find_spec(package):
            yield ModelFault(
                sentence("{part} was saved with {package}, which is not installed", part=part.name, package=package),
                f"pip install {package}",
            )
        yield from _of_weights(part, part.name)


def _quantized_by(config: dict[str, Any]) -> str:
    """The package that reads a part's weights where they were saved in fewer bits; empty for others."""
    said = _table(config.get("quantization_config"))
    if said.get("load_in_8bit") or said.get("load_in_4bit"):
        return "bitsandbytes"
    return next((package for package in QUANTIZERS if package == said.get("quant_method")), "")


def weights_fault(folder: Path, name: str) -> ModelFault | None:
    """The problem of the weights directly in a folder, which is called ``name``; None if there is none."""
    return next(_of_weights(folder, name), None)


def _of_weights(folder: Path, name: str) -> Iterator[ModelFault]:
    """The problem of the weights directly in a folder."""
    files = default_weights(folder)
    if not files and any(folder.glob("*.bin")):
        mend = sentence("save it again with safe_serialization=True; pickled weights are not loaded")
        yield ModelFault(sentence("{name} has no safetensors weights", name=name), mend)
    elif not files:
        yield ModelFault(sentence("{name} has no safetensors weights", name=name), sentence("copy that folder again"))
    if len(files) > 1 and gguf_files(folder):
        yield ModelFault(sentence("{name} has several GGUF files", name=name), sentence("leave one of them there"))
    for index in folder.glob("*.safetensors.index.json"):
        shards = _table(_table(read_json(index)).get("weight_map"))
        for shard in sorted(set(shards.values()) - {file.name for file in _files(folder)}):
            yield ModelFault(
                sentence("{name} has no file {shard}", name=name, shard=shard), sentence("copy that folder again")
            )
    for file in files:
        try:
            read_header(file)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            what = str(error) if type(error) is ValueError else sentence("is no safetensors file")
            mend = (
                sentence("run `git lfs pull` in the model's folder")
                if "Git LFS" in what
                else sentence("copy or download it again")
            )
            yield ModelFault(f"{name}/{file.name} {what}", mend)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _table(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_variant(file: Path) -> bool:
    return bool(VARIANT.search(file.name))


def _diffusers_names() -> str:
    """The source file with all names of diffusers; importing it would load torch."""
    spec = find_spec("diffusers")
    return Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
