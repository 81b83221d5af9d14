"""What a model paints with: hashes of its files, computed once for each file as it is, and its schedulers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.configuration import configuration
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.model_files import default_weights, downloaded
from limner.generators.cards.samplers import samplers
from limner.generators.measured import Measured

SUBJECT = "revisions"
"""Where the hashes of files are remembered."""
DIGITS = 16
"""Hexadecimal digits of a revision."""
READ_TOO = (".json", ".txt", ".model", ".jinja")
"""Files beside the weights that a model is made of."""


class Revisions:
    """Hashes files; one that has the same path, time and size as before is not read again."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def of(self, source: str | Path) -> str:
        """The revision of a file, or of the files in a folder that are loaded; empty where there is none."""
        path = Path(source)
        if path.is_file():
            return self._hash(path)[:DIGITS]
        lines = [f"{file.relative_to(path).as_posix()} {self._hash(file)}\n" for file in sorted(_loaded(path))]
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:DIGITS] if lines else ""

    def _hash(self, file: Path) -> str:
        """The SHA-256 of a file's bytes."""
        state = file.stat()
        key, now = str(file.resolve()), [state.st_mtime_ns, state.st_size]
        known = self._measured.get(SUBJECT, key)
        if isinstance(known, list) and known[:2] == now:
            return str(cast("list[Any]", known)[2])
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        self._measured.put(SUBJECT, key, [*now, found])
        return found


def scheduler_class(card: ModelCard, sampler: str | None) -> str:
    """The class of the scheduler for a sampler (None: the model's own); empty where its folder does not say it."""
    files = configuration(card.source)
    own = files.table("scheduler/scheduler_config.json")
    if sampler is None:
        return str(own.get("_class_name", ""))
    pipeline = files.table("model_index.json").get("_class_name", "")
    known = samplers(str(pipeline), own)
    return known[sampler].kind if sampler in known else ""


def model_folder(card: ModelCard) -> Path:
    """Where a model's files are: its folder, that of the hub's cache, or its checkpoint."""
    return downloaded(card.source) or Path(card.source)


def _loaded(folder: Path) -> Iterator[Path]:
    """The weights and the other files of a model's folder, without what lies hidden in it."""
    if not folder.is_dir():
        return
    for below in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        if not any(part.startswith(".") for part in below.relative_to(folder).parts):
            yield from default_weights(below)
            yield from (file for file in below.iterdir() if file.suffix in READ_TOO and file.is_file())
