"""Files that only their owner reads: the database, and the folder of the pictures."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = 0o700, 0o600
"""What the owner may do, and nobody else; Windows knows no such rights and ignores them."""


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner reads, if it is not there; raises OSError if it cannot be made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER, exist_ok=True)


def make_database(file: Path) -> None:
    """Make an empty file for SQLite, and its folder, if they are not there; the files beside it get its rights."""
    make_folder(file.parent)
    # A database that is there is not opened: closing any descriptor of it ends SQLite's locks in this whole process
    # (https://www.sqlite.org/howtocorrupt.html, section 2.2), and another process may then delete its log.
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))
    for one in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        close_to_others(one, FILE)


def close_to_others(path: Path, rights: int) -> None:
    """Take from others the rights that an older version left them; what somebody else owns stays as it is."""
    with suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(rights)
