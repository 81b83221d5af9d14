"""The SQLite driver: aiosqlite's threads, with one call for a whole statement instead of four."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)

Rows = Sequence[Any]


class SqliteDriver(AsyncAdapt_aiosqlite_dbapi):
    """What `create_async_engine` takes as its ``module``."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *args: Any, **options: Any) -> AsyncAdapt_aiosqlite_connection:
        """A new connection with its thread."""
        return SqliteConnection(self, cast(Any, super().connect(*args, **options))._connection)


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Runs a statement, reads its rows and closes itself in one call to the connection's thread.

    Each call wakes a thread and the event loop, which takes longer than an ordinary statement.
    """

    __slots__ = ()

    def __init__(self, connection: SqliteConnection) -> None:
        self._adapt_connection: Any = connection
        self._connection: Any = self._adapt_connection._connection
        self._cursor: Any = None
        self._rows = deque()
        self._soft_closed_memoized = cast(Any, {})

    @property
    def description(self) -> Any:
        return self._cursor and self._cursor.description

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        pass

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        return await self._run("execute", operation, parameters or ())

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        return await self._run("executemany", operation, seq_of_parameters)

    async def _run(self, how: str, *arguments: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            self._cursor, rows = await self._adapt_connection.run(how, *arguments)
            self._rows = deque(rows)
            return self._cursor


class SqliteConnection(AsyncAdapt_aiosqlite_connection):
    """Calls its thread for statements, and to commit or roll back only where a transaction is open."""

    __slots__ = ("_first",)
    _cursor_cls = _Cursor

    def __init__(self, driver: SqliteDriver, connection: Any) -> None:
        super().__init__(driver, connection)
        self._first: tuple[str, ...] = ()

    def begin_with_next(self, *statements: str) -> None:
        """Run these in the same call as the next statement, whose execution raises their errors."""
        self._first = statements

    async def run(self, how: str, *arguments: Any) -> tuple[sqlite3.Cursor, Rows]:
        """Run a statement in the connection's thread."""
        driver: Any = self._connection
        first, self._first = self._first, ()
        return await driver._execute(_whole_statement, driver._conn, first, how, *arguments)

    def commit(self) -> None:
        """Commit what is open."""
        if self._is_open():
            super().commit()

    def rollback(self) -> None:
        """Roll back what is open."""
        if self._is_open():
            super().rollback()

    def _is_open(self) -> bool:
        self._first = ()
        driver: Any = self._connection
        return bool(driver._connection) and driver.in_transaction


def _whole_statement(
    connection: sqlite3.Connection, first: Sequence[str], how: str, *arguments: Any
) -> tuple[sqlite3.Cursor, Rows]:
    for statement in first:
        connection.execute(statement).close()
    cursor: sqlite3.Cursor = getattr(connection, how)(*arguments)
    rows = cursor.fetchall() if cursor.description else ()
    cursor.close()
    return cursor, rows
