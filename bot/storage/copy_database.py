"""Copies all rows of one database into another, such as those of SQLite into Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from limner.bot.errors import SetupError
from limner.bot.storage import migrate
from limner.bot.storage.tables.schema import SCHEMA
from limner.bot.translation import N_, _

ROWS = 1000
"""Rows per read and write."""
SAME = N_("Both are the same database; set `database_url` to the new one.")
NOT_EMPTY = N_("The new database has rows already; copying needs an empty one.")


async def copy_database(source: str, target: str) -> dict[str, int]:
    """Copy every row of one database into an empty one, in one transaction.

    Both are brought to this program's schema first. Nobody can write to an SQLite source meanwhile; the bot and the
    workers of a Postgres source must be stopped. No id is given twice, because old messages carry them.

    Args:
        source: The SQLAlchemy URL of the database to copy, with an async driver.
        target: The same of the new one.

    Returns:
        How many rows each table got.

    Raises:
        SetupError: one of the two cannot be opened, both are the same, or the target has rows.
    """
    if source == target:
        raise SetupError(_(SAME))
    for url in (source, target):
        await migrate.upgrade(url)
    async with migrate.connected(source) as reading, migrate.connected(target) as writing:
        if reading.dialect.name == "sqlite":
            await reading.exec_driver_sql("BEGIN IMMEDIATE")
        copied: dict[str, int] = {}
        for table in SCHEMA.sorted_tables:
            if await writing.scalar(select(func.count()).select_from(table)):
                raise SetupError(_(NOT_EMPTY))
            copied[table.name] = 0
            rows = await reading.stream(select(table).order_by(*table.primary_key))
            async for part in rows.mappings().partitions(ROWS):
                await writing.execute(insert(table), [dict(row) for row in part])
                copied[table.name] += len(part)
        used = await reading.run_sync(_used_ids)
        await writing.run_sync(_continue_after, used)
    return copied


def _numbered() -> list[Table]:
    """The tables whose ids the database counts up."""
    return [table for table in SCHEMA.sorted_tables if "id" in table.c]


def _used_ids(source: Connection) -> dict[str, int]:
    """The largest id that each table has given out, deleted rows included where the database records it."""
    is_sqlite = source.dialect.name == "sqlite"
    known = text(
        "SELECT seq FROM sqlite_sequence WHERE name = :name"
        if is_sqlite
        else "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:name, 'id') AS regclass))"
    )
    used: dict[str, int] = {}
    for table in _numbered():
        present = source.scalar(select(func.max(table.c.id))) or 0
        used[table.name] = max(present, source.scalar(known, {"name": table.name}) or 0)
    return used


def _continue_after(target: Connection, used: Mapping[str, int]) -> None:
    """Make the target's next ids follow the source's."""
    for table in _numbered():
        last: dict[str, Any] = {"name": table.name, "last": used[table.name]}
        if target.dialect.name == "sqlite":
            target.execute(text("UPDATE sqlite_sequence SET seq = :last WHERE name = :name"), last)
        elif last["last"]:
            target.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"), last)
