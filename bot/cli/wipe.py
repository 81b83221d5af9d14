"""`limner wipe`: the end of an operation. Deletes what Limner stored, and nothing that the operator put there."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from limner.bot.errors import SetupError
from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.storage.private_files import database_files
from limner.bot.translation import N_, _, commas

FOLDERS = ("images", "cache")
"""What Limner writes into the data folder beside the database."""
WORD = "wipe"
RUNNING = N_("Workers are running on this database; stop `limner run` and `limner worker` first, then wipe it.")
NOT_SURE = N_("Nobody can be asked here; add --yes if everything is to go.")
ASK = N_(
    "This deletes {names}: every request, picture, rule and setting of every member and server. It cannot be undone. "
    "Type {word} to go on: "
)
KEPT = N_("Nothing was deleted.")
NOTHING = N_("There is nothing to delete.")
GONE = N_("Deleted {names}. Models, LoRAs, styles, wildcards, trainings and limner.toml are as they were.")
NOT_DELETED = N_("{path} cannot be deleted: {why}.")
DATABASE = N_("the tables in the database")


async def wipe(settings: Settings, *, is_sure: bool) -> bool:
    """Delete database, pictures and caches, once the operator has confirmed it; False if they did not.

    Raises:
        SetupError: workers are running, nobody can be asked, or something cannot be deleted.
    """
    found = await migrate.revision(settings.url)
    files = [path for path in _paths(settings) if path.exists()]
    has_tables = found is not None and migrate.file_of(settings.url) is None
    names = [path.name for path in files] + [_(DATABASE)] * has_tables
    if not names:
        print(_(NOTHING))
        return True
    if found == migrate.head() and await _has_workers(settings):
        raise SetupError(_(RUNNING))
    if not is_sure and not _is_confirmed(names):
        print(_(KEPT))
        return False
    if has_tables:
        await migrate.drop(settings.url)
    for path in files:
        await asyncio.to_thread(_delete, path)
    print(_(GONE, names=commas(names)))
    return True


def _paths(settings: Settings) -> list[Path]:
    """The files and folders that Limner writes, the database's own first."""
    file = migrate.file_of(settings.url)
    return [*(database_files(file) if file else ()), *(settings.data / name for name in FOLDERS)]


async def _has_workers(settings: Settings) -> bool:
    database = Database(settings.url)
    try:
        return bool(await WorkerRegistry(database, lease_seconds=settings.lease_seconds).alive())
    finally:
        await database.close()


def _is_confirmed(names: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise SetupError(_(NOT_SURE))
    return input(_(ASK, names=commas(names), word=WORD)).strip() == WORD


def _delete(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path.resolve())  # an operator may have put a link to a larger disk there
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(_(NOT_DELETED, path=path, why=error.strerror)) from error
