"""A model's textual inversion embeddings: the files in its folder, as far as they suit it, without torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from limner.generators.cards.model_files import ModelFault, read_header
from limner.generators.sentences import sentence

MOST_BYTES = 2**20
"""Longest header that is read."""
WORD = re.compile(r"\w[\w-]{0,79}")
"""Names that can stand in a prompt as one word."""


class EmbeddingFiles(NamedTuple):
    """The files that can be used by the words that stand for them, and what is wrong with the others."""

    usable: dict[str, str]
    faults: list[ModelFault]


def find_embeddings(folder: Path, width: int | None) -> EmbeddingFiles:
    """The files of a folder for a model that reads tokens of ``width`` numbers; None if that is not known."""
    found = EmbeddingFiles({}, [])
    for file in sorted(folder.glob("*.safetensors")):
        if fault := _fault(file, width):
            found.faults.append(fault)
        else:
            found.usable[file.stem] = str(file)
    return found


def _fault(file: Path, width: int | None) -> ModelFault | None:
    if not WORD.fullmatch(file.stem):
        return ModelFault(
            sentence("its embedding {name} has a name that is not one word", name=file.stem),
            sentence("rename the file"),
        )
    try:
        widths = [int(tensor["shape"][-1]) for tensor in read_header(file, MOST_BYTES).values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ModelFault(
            sentence("its embedding {name} is no safetensors file, or is cut off", name=file.stem),
            sentence("copy or download it again"),
        )
    if width is not None and sum(widths) != width:
        return ModelFault(
            sentence("its embedding {name} was made for another kind of model", name=file.stem),
            sentence("put it with the embeddings of its own kind of model"),
        )
    return None
