"""The SQLite driver: aiosqlite's threads, with one call for a whole statement instead of four."""

from __future__ import annotations

import sqlite3
import time
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
Begins = tuple[float, Sequence[str], str]
"""How a transaction begins: seconds of patience, the statements before it, and the one after it."""

LOOK_SECONDS = 0.001
"""Pause between two looks for the write lock."""


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

    __slots__ = ("_begins",)
    _cursor_cls = _Cursor

    def __init__(self, driver: SqliteDriver, connection: Any) -> None:
        super().__init__(driver, connection)
        self._begins: Begins | None = None

    def begin_with_next(self, patience: float, before: Sequence[str], after: str) -> None:
        """Begin to write in the same call as the next statement, whose execution raises the errors of it.

        Args:
            patience: how many seconds the write lock is waited for.
            before: statements that run first.
            after: a statement that runs in any case once the lock is held or given up.
        """
        self._begins = patience, before, after

    async def run(self, how: str, *arguments: Any) -> tuple[sqlite3.Cursor, Rows]:
        """Run a statement in the connection's thread."""
        driver: Any = self._connection
        begins, self._begins = self._begins, None
        return await driver._execute(_whole_statement, driver._conn, begins, how, *arguments)

    def commit(self) -> None:
        """Commit what is open."""
        if self._is_open():
            super().commit()

    def rollback(self) -> None:
        """Roll back what is open."""
        if self._is_open():
            super().rollback()

    def _is_open(self) -> bool:
        self._begins = None
        driver: Any = self._connection
        return bool(driver._connection) and driver.in_transaction


def _whole_statement(
    connection: sqlite3.Connection, begins: Begins | None, how: str, *arguments: Any
) -> tuple[sqlite3.Cursor, Rows]:
    if begins:
        _begin(connection, *begins)
    cursor: sqlite3.Cursor = getattr(connection, how)(*arguments)
    rows = cursor.fetchall() if cursor.description else ()
    cursor.close()
    return cursor, rows


def _begin(connection: sqlite3.Connection, patience: float, before: Sequence[str], after: str) -> None:
    deadline = time.monotonic() + patience
    for statement in before:
        connection.execute(statement).close()
    try:
        _take_write_lock(connection, deadline)
    finally:
        connection.execute(after).close()


def _take_write_lock(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a transaction as soon as nobody else writes.

    SQLite's own wait looks ten times a second after a while, and misses the moments between the transactions of
    another process that writes without end.
    """
    while True:
        try:
            return connection.execute("BEGIN IMMEDIATE").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_SECONDS)
