"""Makes files and folders that only their owner can read: the database, and the pictures' folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

FOLDER, FILE = 0o700, 0o600
"""Access modes for the owner alone; Windows ignores them."""


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner can read, if it is missing; raises OSError if it cannot be made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER, exist_ok=True)


def make_database(file: Path) -> None:
    """Make an empty SQLite file and its folder, if missing; SQLite gives the files beside it the same rights."""
    make_folder(file.parent)
    # An existing database is not opened: closing any descriptor of it drops SQLite's locks in this whole process
    # (https://www.sqlite.org/howtocorrupt.html, section 2.2), and another process may then delete its log.
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))
    for one in database_files(file):
        close_to_others(one, FILE)


def open_private(file: Path) -> IO[bytes]:
    """A new file, for reading and writing, in the place of one that may be there; raises OSError."""
    make_folder(file.parent)
    file.unlink(missing_ok=True)
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE), "w+b")


def database_files(file: Path) -> list[Path]:
    """An SQLite database, and the files that SQLite keeps beside it."""
    return [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")]


def close_folder_to_others(folder: Path) -> None:
    """Take from others what they may do in a data folder that is there, and with what lies in it.

    The folder comes first: then nobody else puts anything in the place of a file. Links stay as they are, and so does
    ``limner.toml``, which is the operator's.
    """
    close_to_others(folder, FOLDER)
    with suppress(OSError):
        for one in folder.iterdir():
            if not one.is_symlink() and one.name != "limner.toml":
                close_to_others(one, FOLDER if one.is_dir() else FILE)


def close_to_others(path: Path, rights: int) -> None:
    """Remove other users' access that an older version left; files of other owners stay as they are."""
    with suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(rights)
