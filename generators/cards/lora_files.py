"""A model's LoRA files: those that its limner.json names and those in a folder, as far as they suit it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from limner.generators.cards.model_files import ModelFault, read_header
from limner.generators.sentences import sentence

MOST_BYTES = 4 * 2**20
"""Longest header that is read."""
TRANSFORMER = 0
"""Stands for the width of prompts in models without cross-attention."""
_READS_PROMPT = re.compile(r"attn2[._]to_[kv][._](?:processor[._])?(?:lora_down|lora_A|lora[._]down|hada_w1_b)")
_LOKR_READS_PROMPT = re.compile(r"(.*attn2_to_[kv])\.lokr_w1(?:_b)?")
_OF_TRANSFORMER = re.compile(
    r"(?:double|single|joint)_blocks|single_transformer_blocks|transformer\.transformer_blocks"
)


class LoraFiles(Mapping[str, str]):
    """A model's LoRA files by name: those given, and those in a folder at the moment of the look-up.

    Args:
        given: files by name.
        folder: holds others; their names are those of the files.
        prompt_width: numbers of a token as the model's denoiser reads it, `TRANSFORMER` without cross-attention; None
            if that is not known. Files that were made for another width are left out.
    """

    def __init__(self, given: Mapping[str, str], folder: Path, prompt_width: int | None) -> None:
        self._given, self._folder, self._width = given, folder, prompt_width

    def __getitem__(self, name: str) -> str:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def faults(self) -> list[ModelFault]:
        """What is wrong with the files that are left out."""
        mend = sentence("put it with the LoRAs of its own kind of model")
        return [
            ModelFault(sentence("its LoRA {name} was made for another kind of model", name=name), mend)
            for name, file in self._all().items()
            if not self._fits(file)
        ]

    def _found(self) -> dict[str, str]:
        return {name: file for name, file in self._all().items() if self._fits(file)}

    def _all(self) -> dict[str, str]:
        return {path.stem: str(path) for path in sorted(self._folder.glob("*.safetensors"))} | dict(self._given)

    def _fits(self, file: str) -> bool:
        wanted = prompt_width(Path(file)) if self._width is not None else None
        return wanted is None or wanted == self._width


def prompt_width(file: Path) -> int | None:
    """The numbers of a token as the denoiser reads it for which a LoRA was made; None if the file does not say it."""
    try:
        state = file.stat()
    except OSError:
        return None
    return _read(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _read(file: Path, _changed_at: int, _size: int) -> int | None:
    try:
        return _width(read_header(file, MOST_BYTES))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # what is broken is named when it is attached


def _width(tensors: Mapping[str, Any]) -> int | None:
    if any(_OF_TRANSFORMER.search(name) for name in tensors):
        return TRANSFORMER
    plain = (int(tensor["shape"][1]) for name, tensor in tensors.items() if _READS_PROMPT.search(name))
    return next(plain, None) or next(_lokr_widths(tensors), None)


def _lokr_widths(tensors: Mapping[str, Any]) -> Iterator[int]:
    """The same of LoKr files, whose two factors share the width."""
    for name, tensor in tensors.items():
        if layer := _LOKR_READS_PROMPT.fullmatch(name):
            other = tensors.get(f"{layer[1]}.lokr_w2_b") or tensors[f"{layer[1]}.lokr_w2"]
            yield int(tensor["shape"][1]) * int(other["shape"][1])
