"""What a model's files say of it, the same for a diffusers folder and for a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from limner.generators.cards.card_schema import read_limner_json, read_table
from limner.generators.cards.checkpoints.checkpoint import Checkpoint, is_checkpoint
from limner.generators.cards.model_files import ModelFault, downloaded, fault_of
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText

READ = (
    "model_index.json",
    "motion_adapter/config.json",
    "scheduler/scheduler_config.json",
    "transformer/config.json",
    "unet/config.json",
    "vae/config.json",
)
"""The JSON files that describe a model, apart from those of its tokenizers."""


class Configuration(NamedTuple):
    """What is known of a model without its weights.

    Attributes:
        folder: where its limner.json, words.txt and relative paths begin.
        said: the fields of its limner.json.
        tables: the JSON files of its diffusers folder, by their paths in it; empty for those that it lacks.
    """

    folder: Path
    said: dict[str, Any]
    tables: dict[str, dict[str, Any]]

    def table(self, path: str) -> dict[str, Any]:
        """A JSON file's object; empty without the file."""
        return self.tables.get(path, {})


def configuration(source: str) -> Configuration:
    """The configuration of a folder, a checkpoint, or a hub name as far as it is downloaded.

    Raises:
        BadText: one of the files is wrong, and where.
    """
    if is_checkpoint(Path(source)):
        return _of_checkpoint(Path(source))
    folder = downloaded(source) or Path(source)
    tokenizers = (file.relative_to(folder).as_posix() for file in folder.glob("tokenizer*/tokenizer_config.json"))
    said = read_limner_json(folder / "limner.json")
    return Configuration(folder, said, {path: read_table(folder / path) for path in (*READ, *tokenizers)})


def source_fault(source: str, kind: str) -> ModelFault | None:
    """Why the folder or checkpoint ``source`` cannot be loaded; None if no problem is found, or it is elsewhere."""
    path = Path(source)
    if not is_checkpoint(path):
        return fault_of(path, kind) if path.is_dir() else None
    try:
        return Checkpoint.read(path, read_limner_json(path.with_suffix("") / "limner.json")).fault()
    except BadText as error:
        return ModelFault(
            sentence("the checkpoint {what}", what=error), sentence("copy or download it again, or take it out")
        )


def _of_checkpoint(file: Path) -> Configuration:
    folder = file.with_suffix("")
    said = read_limner_json(folder / "limner.json")
    try:
        tables = Checkpoint.read(file, said).tables
    except BadText:  # `source_fault` says it
        tables = {}
    return Configuration(folder, said, tables)
