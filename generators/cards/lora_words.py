"""The words that a LoRA was trained with, from its file's metadata, without torch."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.model_files import read_metadata

MOST_BYTES = 4 * 2**20
"""Longest header that is read: trainers count thousands of tags in it."""
MOST_WORDS = 5
LONGEST = 80
"""Characters of all words together."""


def trigger_words(file: Path) -> str:
    """The words of a LoRA file with commas, at most five of them; empty if the file names none."""
    try:
        stat = file.stat()
    except OSError:
        return ""
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _read(file: Path, changed_at: int, size: int) -> str:
    """The words of a file as it was changed last."""
    try:
        metadata = read_metadata(file, MOST_BYTES)
        words = _phrase(metadata) or _tags(metadata)
    except (OSError, ValueError, RecursionError):
        return ""
    return ", ".join(words)[:LONGEST].rstrip(", ")


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
