"""User-facing errors of trainings; the message is shown as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from limner.generators.sentences import sentence


class TrainingError(Exception):
    """The training cannot go on; its text says why and what to do, in one sentence."""


def need_room(folder: Path, size: int) -> None:
    """Make the folder, and check that ``size`` bytes fit: a memory-mapped file cannot report a full disk.

    Raises:
        TrainingError: they do not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size:
        raise TrainingError(
            sentence(
                "{folder} needs {size:.0f} MiB that the disk does not have; make room and go on.",
                folder=folder,
                size=size / 2**20,
            )
        )
