"""Files that are named on the command line, and copies of stored pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from limner.bot.app import App
from limner.bot.errors import BadPicture, SetupError, StorageFailed
from limner.bot.translation import N_, _

NEEDS_OUT = N_("What is stored here is encrypted; name a folder for copies of the pictures with --out.")
NOT_COPIED = N_(
    "Nothing can be written into {folder} ({why}). The pictures are kept in the data folder, where `limner history "
    "--json` finds them."
)


def read_file(file: Path) -> bytes:
    """The bytes of a picture file; raises BadPicture if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadPicture(
            _("The file {file} cannot be read: {strerror}.", file=file, strerror=error.strerror)
        ) from error


def check_out(app: App, out: Path | None) -> None:
    """Raise SetupError if only copies of the pictures can be read by others, and there is no folder for them."""
    if app.images.cipher.keys and out is None:
        raise SetupError(_(NEEDS_OUT))


def copy_pictures(app: App, folder: Path, named: Mapping[str, str]) -> list[Path]:
    """Write pictures, given by their hashes, into a folder under these names; those that are damaged are left out.

    Raises:
        StorageFailed: a file cannot be written.
    """
    found = {folder / name: app.images.intact(sha256) for name, sha256 in named.items()}
    return write_files({path: png for path, png in found.items() if png is not None}, folder)


def write_files(files: Mapping[Path, bytes], folder: Path) -> list[Path]:
    """Write files into a folder; raises StorageFailed if one cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            path.write_bytes(data)
    except OSError as error:
        raise StorageFailed(_(NOT_COPIED, folder=folder, why=error.strerror)) from error
    return [*files]
