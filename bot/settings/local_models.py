"""The models on this machine: those that the setting `models` names and those in `models_dir`, as they are now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from limner.bot.settings.model_sources import model_source
from limner.bot.translation import _
from limner.generators.cards.checkpoints.checkpoint import SHARED, is_checkpoint

DEEPEST = 3
"""Folders below each other that are read."""
MOST_MODELS = 1000
LONGEST_NAME = 80
"""Characters of a model's name: Discord shows a hundred in a suggestion, and a note comes behind it."""
READ_OF = ("*.json", "*.safetensors", "*.gguf", "*.civitai.info")
"""The files that a model is made of."""


class LocalModels(NamedTuple):
    """What was found at one time.

    Attributes:
        sources: folders and files by model, as the setting `models` writes them.
        faults: a sentence for each file or folder that is not offered, by its name.
        stamps: a text for each model that changes when its files do.
    """

    sources: Mapping[str, str]
    faults: Mapping[str, str]
    stamps: Mapping[str, str]


def find_models(named: Mapping[str, str], folder: str) -> LocalModels:
    """The models that ``named`` names and those in ``folder``; blocks while the folder is read.

    In the folder each checkpoint, and each folder with a model_index.json, is a model with that name. A folder beside a
    checkpoint with the same name belongs to it. The names in ``named`` win.
    """
    sources, faults = dict(named), dict[str, str]()
    for path in _files(folder):
        name = " ".join((path.stem if path.is_file() else path.name).split())
        if len(sources) - len(named) >= MOST_MODELS:
            faults[folder] = _("The folder {folder} holds more than {most} models.", folder=folder, most=MOST_MODELS)
            break
        if len(name) > LONGEST_NAME or "," in name or not name:
            faults[path.name] = _("The model {file} needs a shorter name without a comma; rename it.", file=path.name)
        elif name in sources:
            faults[str(path)] = _(
                "There are two models named {name}; the one in {path} is not offered until it is renamed.",
                name=name,
                path=path,
            )
        else:
            sources[name] = str(path)
    if folder and not Path(folder).is_dir():
        faults[folder] = _("There is no folder {folder}, which the setting `models_dir` names.", folder=folder)
    return LocalModels(sources, faults, {name: _stamp(source) for name, source in sources.items()})


def _files(folder: str) -> Iterator[Path]:
    return _below(Path(folder), DEEPEST) if folder and Path(folder).is_dir() else iter(())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The checkpoints and diffusers folders in a folder and those below it, in the order of their names."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    checkpoints = [path for path in entries if is_checkpoint(path)]
    yield from checkpoints
    beside = {path.with_suffix("") for path in checkpoints}
    for path in entries:
        if not path.is_dir() or path in beside or path.name == SHARED:
            continue
        if (path / "model_index.json").is_file():
            yield path
        elif depth > 1:
            yield from _below(path, depth - 1)


def _stamp(source: str) -> str:
    """The newest time, the number and the size of a model's files; empty for a hub name."""
    path = Path(model_source(source.partition("@")[0]))
    found = [(state.st_mtime_ns, state.st_size) for file in _made_of(path) if (state := _state(file))]
    times, sizes = [time for time, _size in found], [size for _time, size in found]
    return f"{max(times)} {len(times)} {sum(sizes)}" if found else ""


def _made_of(path: Path) -> Iterable[Path]:
    folder = path.with_suffix("") if is_checkpoint(path) else path
    if is_checkpoint(path):
        yield from (path, *(path.parent / f"{path.stem}{end}" for end in (".civitai.info", ".json")))
    if folder.is_dir():
        for kind in READ_OF:
            yield from (*folder.glob(kind), *folder.glob(f"*/{kind}"))


def _state(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None
