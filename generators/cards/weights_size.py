"""Tells how much memory a model's weights will take, from the headers of their files and without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limner.generators.cards.model_files import default_weights, named_parts, read_header
from limner.generators.text_files import BadText, read_json

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Number formats of safetensors that become the one that a model is loaded in; others stay as they are."""


def weights_bytes(source: Path, itemsize: int) -> int:
    """Bytes of a diffusers folder's or a checkpoint's weights when loaded; what cannot be read counts as nothing.

    Args:
        source: the folder or the file.
        itemsize: bytes of a number in the format that the model is loaded in.
    """
    try:
        return sum(_bytes(file, itemsize) for file in _files(source))
    except BadText:
        return 0


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for name in named_parts(read_json(source / "model_index.json")):  # a folder that it does not name is not loaded
        yield from default_weights(source / name)  # a variant of them has as many numbers


def _bytes(file: Path, itemsize: int) -> int:
    if file.suffix == ".gguf":
        return file.stat().st_size
    try:
        return sum(_size(tensor, itemsize) for tensor in read_header(file).values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0


def _size(tensor: dict[str, Any], itemsize: int) -> int:
    start, end = tensor["data_offsets"]
    return math.prod(tensor["shape"]) * itemsize if tensor["dtype"] in FLOATS else end - start
