"""Files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from limner.bot.errors import BadPicture
from limner.bot.translation import _


def read_file(file: Path) -> bytes:
    """The bytes of a picture file; raises BadPicture if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadPicture(
            _("The file {file} cannot be read: {strerror}.", file=file, strerror=error.strerror)
        ) from error
