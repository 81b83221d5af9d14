"""The database's schema: checks that it matches this program, and upgrades it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, NullPool, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from limner.bot.errors import SetupError
from limner.bot.storage.db import BUSY
from limner.bot.storage.private_files import make_database
from limner.bot.translation import N_, _

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).resolve().parents[2] / "migrations"
UPGRADE_SECONDS = 60.0
"""How long an upgrade waits for another process that upgrades the same database."""

EMPTY = N_("The database has no tables yet; run `limner migrate`.")
OLD = N_("The database was made by an older Limner; run `limner migrate`.")
NEW = N_("The database was made by a newer Limner than this one; update Limner, or use another database.")
UNUSABLE = N_("The database cannot be used ({why}); check the data folder and the setting `database_url`.")

Result = TypeVar("Result")


async def upgrade(url: str) -> None:
    """Upgrade the database to this program's schema, completely or not at all; create it if there is none.

    Raises:
        SetupError: it cannot be opened, or a newer program made it.
    """
    found = await revision(url)
    if found == head():
        return
    if found and found not in _revisions():
        raise SetupError(_(NEW))
    from alembic import command  # an ordinary start does without it

    await alone(url, lambda connection: command.upgrade(config(connection), "head"))


async def check(url: str) -> None:
    """Raise SetupError, with the command that mends it, unless the schema is this program's."""
    found = await revision(url)
    if found is None:
        raise SetupError(_(EMPTY))
    if found != head():
        raise SetupError(_(OLD) if found in _revisions() else _(NEW))


async def revision(url: str) -> str | None:
    """The revision of the database's schema, None if it has no tables; raises SetupError if it cannot be opened."""
    file = file_of(url)
    if file and not file.exists():
        return None
    async with connected(url) as connection:
        return await connection.run_sync(_current)


async def drop(url: str) -> None:
    """Take all of ours out of a database; raises SetupError if it cannot be used, or a newer program made it."""
    if await revision(url) not in _revisions():
        raise SetupError(_(NEW))
    from alembic import command  # an ordinary start does without it

    await alone(url, lambda connection: command.downgrade(config(connection), "base"))
    async with connected(url) as connection:
        await connection.execute(text("DROP TABLE alembic_version"))


async def alone(url: str, work: Callable[[Connection], Result]) -> Result:
    """Run ``work`` in one transaction under the schema lock; others wait for it to end."""
    file = file_of(url)
    async with connected(url) as connection:
        if file:
            await _use_write_ahead_log(connection)
        await connection.exec_driver_sql("BEGIN IMMEDIATE" if file else "SELECT pg_advisory_xact_lock(1280134482)")
        return await connection.run_sync(work)


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; finds the migrations beside this package, installed or not."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The schema revision that this program needs."""
    return max(_revisions())


def is_in_models(name: str | None, kind: str, _parents: object) -> bool:
    """Whether the models describe a table, index or column; what one of the databases has alone is written by hand."""
    is_full_text = kind in ("table", "index") and name is not None and name.startswith("jobs_fts")
    return not is_full_text and (kind, name) != ("column", "bits")


def _revisions() -> set[str]:
    """The revisions of the migrations, by which their files are named."""
    return {file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*_*.py")}


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def file_of(url: str) -> Path | None:
    """The file of an SQLite database; None for a server. Raises SetupError if the URL is none."""
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise SetupError(_(UNUSABLE, why=error)) from error
    return Path(target.database or "") if target.get_backend_name() == "sqlite" else None


async def _use_write_ahead_log(connection: AsyncConnection) -> None:
    """Switch to WAL before any `Database` opens: SQLite refuses at once while another process reads."""
    deadline = time.monotonic() + UPGRADE_SECONDS
    while True:
        try:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", None) not in BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[AsyncConnection]:
    """One transaction on a database, whose file is made if it is missing; raises SetupError if it cannot be used."""
    file = file_of(url)
    try:
        if file:
            make_database(file)
        waiting = {"timeout": UPGRADE_SECONDS} if file else {}
        engine = create_async_engine(url, poolclass=NullPool, connect_args=waiting, hide_parameters=True)
        async with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError, ImportError) as error:
        why = getattr(error, "orig", None) or error
        raise SetupError(_(UNUSABLE, why=why)) from error
