"""The example picture beside a model, as AUTOMATIC1111 and model sites name it, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ENDS = [f"{middle}{end}" for middle in (".preview", "") for end in (".png", ".jpg", ".jpeg", ".webp")]
"""What follows the name of a checkpoint or folder in that of its picture; the first that is there counts."""


class SidePicture(NamedTuple):
    """The file with a model's picture, and a text that changes when the file does."""

    file: Path
    stamp: str


def side_picture(source: str) -> SidePicture | None:
    """The picture beside a checkpoint or folder; None if there is none."""
    path = Path(source)
    for end in ENDS if path.is_absolute() else ():
        file = path.with_name((path.name if path.is_dir() else path.stem) + end)
        try:
            state = file.stat()
        except OSError:
            continue
        return SidePicture(file, f"{state.st_mtime_ns} {state.st_size}")
    return None
