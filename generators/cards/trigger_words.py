"""The words that a LoRA or checkpoint was trained with, from a file beside it or its own metadata, without torch."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.model_files import read_metadata
from limner.generators.text_files import BadText, read_json

MOST_BYTES = 4 * 2**20
"""Longest header that is read: trainers count thousands of tags in it."""
MOST_WORDS = 5
LONGEST = 80
"""Characters of all words together."""


SIDE_FILES = {".civitai.info": "trainedWords", ".json": "activation text"}
"""Files beside a model, by the end of their names, and the field with its words, as Civitai and AUTOMATIC1111 write."""


def trigger_words(file: Path) -> str:
    """The words of a LoRA or checkpoint with commas, at most five of them; empty if no file names any."""
    return _read(file, *(_state(one) for one in (file, *_beside(file))))


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.stem + end) for end in SIDE_FILES]


def _state(file: Path) -> tuple[int, int]:
    """When a file was changed last, and its bytes; zeros if it is not there."""
    try:
        state = file.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=1024)
def _read(file: Path, *_states: tuple[int, int]) -> str:
    """The words of a file as it and those beside it were changed last."""
    written = (_written(beside, name) for beside, name in zip(_beside(file), SIDE_FILES.values(), strict=True))
    words = next((words for words in written if words), None) or _in_metadata(file)
    return ", ".join(words)[:LONGEST].rstrip(", ")


def _in_metadata(file: Path) -> list[str]:
    try:
        metadata = read_metadata(file, MOST_BYTES)
        return _phrase(metadata) or _tags(metadata)
    except (OSError, ValueError, RecursionError):
        return []


def _written(file: Path, name: str) -> list[str]:
    """The words in a field of a file beside a model: a text, or a list of texts."""
    try:
        table = read_json(file) if file.stat().st_size <= MOST_BYTES else None
    except (OSError, BadText):
        return []
    value = cast("dict[str, Any]", table).get(name) if isinstance(table, dict) else None
    texts = cast("list[Any]", value) if isinstance(value, list) else [value]
    words = [word.strip() for text in texts if isinstance(text, str) for word in " ".join(text.split()).split(",")]
    return [word for word in words if word][:MOST_WORDS]


def _phrase(metadata: dict[str, Any]) -> list[str]:
    """Stability AI's field (https://github.com/Stability-AI/ModelSpec)."""
    phrase = metadata.get("modelspec.trigger_phrase")
    return [" ".join(phrase.split())] if isinstance(phrase, str) and phrase.strip() else []


def _tags(metadata: dict[str, Any]) -> list[str]:
    """The most frequent tags of kohya's trainer, which counts them by the folder of its pictures."""
    folders = json.loads(str(metadata.get("ss_tag_frequency") or "{}"))
    counts: dict[str, int] = {}
    for tags in cast("dict[str, Any]", folders).values() if isinstance(folders, dict) else ():
        for tag, count in cast("dict[str, Any]", tags).items() if isinstance(tags, dict) else ():
            if isinstance(count, int):
                counts[tag.strip()] = counts.get(tag.strip(), 0) + count
    return [tag for tag in sorted(counts, key=lambda tag: -counts[tag]) if tag][:MOST_WORDS]
