"""Picture files by content hash, written atomically; the one place where their bytes are written and read."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from limner.bot.errors import StorageFailed, WrongKey
from limner.bot.storage.cipher import HEADER, Cipher, key_of
from limner.bot.storage.private_files import FOLDER, close_to_others, make_folder
from limner.generators.image_files import as_address

log = logging.getLogger(__name__)


class ImageStore:
    """PNG files under one folder, two levels deep, each named by the SHA-256 of its bytes, and perhaps encrypted.

    A picture without a row has an empty file ending in ``.new`` beside it. Only such pictures are ever swept, so no
    wrong or empty database can delete a picture that was kept.
    """

    def __init__(self, folder: Path, cipher: Cipher) -> None:
        self.folder = folder
        self.cipher = cipher
        close_to_others(folder, FOLDER)

    def path(self, sha256: str) -> Path:
        """Where the picture's file is, or would be; other programs can read it unless it is encrypted."""
        return self.folder / sha256[:2] / f"{sha256}.png"

    def address(self, sha256: str) -> str:
        """Where a generator reads the picture: its path, or a ``data:`` URI of an encrypted one that is there."""
        path = self.path(sha256)
        if not self.cipher.keys or not path.exists():
            return str(path)
        return as_address(self.read(sha256))

    def holds(self, data: bytes) -> bool:
        """Whether this file is in the store."""
        return self.has(hashlib.sha256(data).hexdigest())

    def has(self, sha256: str) -> bool:
        """Whether the picture is there."""
        return self.path(sha256).exists()

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
                _write(target, self.cipher.encrypt(data))
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
        """The picture's bytes; raises FileNotFoundError if the file is missing, and WrongKey."""
        return self.cipher.decrypt(self.path(sha256).read_bytes())

    def intact(self, sha256: str) -> bytes | None:
        """The picture's bytes; None if the file is missing, or is encrypted and cannot be decrypted."""
        try:
            return self.read(sha256)
        except FileNotFoundError:
            return None
        except WrongKey:
            log.error("picture_damaged sha256=%s", sha256)
            return None

    def open(self, sha256: str) -> Image.Image:
        """The picture itself; raises as `read` does."""
        image = Image.open(io.BytesIO(self.read(sha256)))
        image.load()
        return image

    def size(self, sha256: str) -> tuple[int, int]:
        """The picture's width and height; raises as `read` does."""
        with Image.open(io.BytesIO(self.read(sha256)) if self.cipher.keys else self.path(sha256)) as image:
            return image.size

    def file_size(self, sha256: str) -> int:
        """The bytes of the picture's file; 0 if it is missing."""
        path = self.path(sha256)
        return path.stat().st_size if path.exists() else 0

    def outdated(self) -> Iterator[str]:
        """The pictures whose files are not as the cipher would write them now."""
        for path in self.folder.glob("*/*.png"):
            with suppress(FileNotFoundError), path.open("rb") as file:
                if key_of(file.read(HEADER)) != self.cipher.current:
                    yield path.stem

    def rewrite(self, sha256: str) -> None:
        """Write a picture's file as the cipher writes it now; raises as `read` and `save` do.

        Until `keep` it counts as one without a row, in case its row goes meanwhile.
        """
        data, target = self.read(sha256), self.path(sha256)
        try:
            self._mark(sha256).touch()
            _write(target, self.cipher.encrypt(data))
        except OSError as error:
            raise StorageFailed.of(error, len(data)) from error

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
