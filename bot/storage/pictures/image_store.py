"""Picture files by content hash, written atomically."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

from limner.bot.errors import StorageFailed
from limner.bot.storage.private_files import FOLDER, close_to_others, make_folder


class ImageStore:
    """PNG files under one folder, two levels deep, each named by the SHA-256 of its bytes.

    A picture without a row has an empty file ending in ``.new`` beside it. Only such pictures are ever swept, so no
    wrong or empty database can delete a picture that was kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        close_to_others(folder, FOLDER)

    def path(self, sha256: str) -> Path:
        """Where the picture with this hash is, or would be."""
        return self.folder / sha256[:2] / f"{sha256}.png"

    def holds(self, data: bytes) -> bool:
        """Whether this file is in the store."""
        return self.path(hashlib.sha256(data).hexdigest()).exists()

    def save(self, data: bytes) -> str:
        """Write a picture and return its hash; the same picture twice is one file.

        Raises:
            StorageFull: the disk is full; nothing is left half-written.
            StorageReadOnly: the folder cannot be written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        target, mark = self.path(sha256), self._mark(sha256)
        try:
            if mark.exists() or not target.exists():
                make_folder(self.folder)
                mark.parent.mkdir(exist_ok=True)
                mark.touch()
            if not target.exists():
                _write(target, data)
        except OSError as error:
            with suppress(OSError):
                mark.unlink()
            raise StorageFailed.of(error, len(data)) from error
        return sha256

    def try_to_write(self, size: int) -> None:
        """Write so many bytes and remove them again; raises like `save`."""
        try:
            make_folder(self.folder)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(bytes(size))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageFailed.of(error, size) from error

    def keep(self, sha256: str) -> None:
        """Mark the picture as referred to by a row."""
        self._mark(sha256).unlink(missing_ok=True)

    def unkept(self) -> dict[str, float]:
        """The pictures without a row, and when they were saved, in Unix seconds."""
        return {mark.stem: mark.stat().st_mtime for mark in self.folder.glob("*/*.new")}

    def read(self, sha256: str) -> bytes:
        """The picture's bytes; raises FileNotFoundError if the file is missing."""
        return self.path(sha256).read_bytes()

    def open(self, sha256: str) -> Image.Image:
        """The picture itself; raises as `read` does."""
        image = Image.open(io.BytesIO(self.read(sha256)))
        image.load()
        return image

    def size(self, sha256: str) -> tuple[int, int]:
        """The picture's width and height, from its header alone; raises as `read` does."""
        with Image.open(self.path(sha256)) as image:
            return image.size

    def delete(self, sha256: str) -> None:
        """Remove a picture, if it is there."""
        self.path(sha256).unlink(missing_ok=True)
        self._mark(sha256).unlink(missing_ok=True)

    def sweep(self, older_than: float = 60.0) -> int:
        """Remove files that a killed process left incomplete, if older than some seconds; returns their number."""
        latest = time.time() - older_than
        leftovers = [path for path in self.folder.glob("*/*.part") if path.stat().st_mtime < latest]
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        return len(leftovers)

    def _mark(self, sha256: str) -> Path:
        return self.path(sha256).with_suffix(".new")


def _write(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
