"""`limner export`: everything stored about a member in one zip file, with the pictures as they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from limner.bot.app import App, open_app
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.export_files import ExportFile, pictures_of
from limner.bot.storage.private_files import open_private
from limner.bot.translation import N_, _

THERE = N_("The file {file} is there already; name another one.")
NOT_WRITTEN = N_("The file {file} cannot be written: {why}.")
NOTHING = N_("Nothing is stored about the member {member}.")
WRITTEN = N_("Wrote {rows} rows and {pictures} pictures of the member {member}.")
README = N_("Everything that this bot stores about the member {member}; docs/privacy.md says what it is.")


async def export(settings: Settings, user_id: int, file: Path) -> bool:
    """Write the file, and say what is in it; False if nothing is stored.

    Raises:
        SetupError: there is such a file, or it cannot be written.
    """
    await migrate.check(settings.url)
    if file.exists():
        raise SetupError(_(THERE, file=file))
    part = file.with_name(f"{file.name}.part")
    try:
        async with open_app(settings) as app:
            with open_private(part) as written:
                rows, pictures = await _write(app, user_id, written)
        if rows:
            os.replace(part, file)
    except OSError as error:
        raise SetupError(_(NOT_WRITTEN, file=file, why=error.strerror)) from error
    finally:
        part.unlink(missing_ok=True)
    print(_(WRITTEN, rows=rows, pictures=pictures, member=user_id) if rows else _(NOTHING, member=user_id))
    return rows > 0


async def _write(app: App, user_id: int, file: IO[bytes]) -> tuple[int, int]:
    """How many rows and pictures are in the file."""
    zipped, rows = ExportFile(file, 1, None), 0
    try:
        async for section, row in app.exports.rows(user_id):
            files = await asyncio.to_thread(_files, app, pictures_of(section.name, row))
            await asyncio.to_thread(zipped.add, section.name, row, files)
            rows += 1
        zipped.close(_(README, member=user_id) + "\n")
    except OSError:
        zipped.abandon()
        raise
    return rows, zipped.pictures


def _files(app: App, named: Mapping[str, str]) -> dict[str, bytes]:
    """The files of pictures by their names in the export; those that are missing or damaged are left out."""
    found = {f"{name}.png": app.images.intact(sha256) for name, sha256 in named.items()}
    return {name: png for name, png in found.items() if png is not None}
