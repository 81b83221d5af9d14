"""The database: engine, sessions, and translation of driver errors into user-facing ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

from sqlalchemy import Connection, QueuePool, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from limner.bot.errors import DatabaseBusy, StorageFull, StorageReadOnly
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.sqlite_driver import SqliteConnection, SqliteDriver
from limner.bot.storage.tables.encrypted import use_cipher

BUSY_SECONDS = 2.0
"""How long a write waits for the lock before it fails; well within Discord's 3 seconds."""

CLOSE_SECONDS = 3.0
"""How long `Database.close` waits for work that is being written."""
LOOK_SECONDS = 0.01

BUSY = {
    "SQLITE_BUSY",
    "SQLITE_BUSY_SNAPSHOT",
    "SQLITE_BUSY_TIMEOUT",
    "SQLITE_LOCKED",
    "55P03",
    "40P01",
    "40001",
    "53300",
}
FULL = {"SQLITE_FULL", "53100"}
READ_ONLY = {
    "SQLITE_READONLY",
    "SQLITE_READONLY_DBMOVED",
    "SQLITE_READONLY_DIRECTORY",
    "SQLITE_PERM",
    "SQLITE_CANTOPEN",
    "25006",
}


class Database:
    """One engine and its sessions; Postgres or SQLite (in WAL mode, so that readers never wait for the writer)."""

    def __init__(self, url: str, cipher: Cipher | None = None) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.url = url
        self.cipher = cipher or Cipher()
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)
        use_cipher(self.engine, self.cipher)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._turn_to_write = asyncio.Lock()
        self._is_closed = False
        self._in_use = 0

    @asynccontextmanager
    async def begin(
        self, patience: float = BUSY_SECONDS, *, survives_power_cut: bool = True
    ) -> AsyncGenerator[AsyncSession]:
        """A session whose writes are committed together or not at all.

        They survive a killed process in any case. SQLite waits for the disk only where they must survive a power cut
        too, and those that were committed before them come to the disk with them.

        On SQLite it holds the write lock from its first statement, so what it reads stays true until it commits; it
        waits for that lock for ``patience`` seconds.

        Raises:
            DatabaseBusy: the lock is held for too long, or the database does not answer or is closed.
            StorageFailed: the disk is full, or the database cannot be written.
        """
        with self._using():
            async with self._my_turn(patience) as seconds, self._sessions.begin() as session:
                if self.is_sqlite:
                    connection = cast(Connection, (await session.connection()).sync_connection)
                    driver = cast(SqliteConnection, connection.connection.dbapi_connection)
                    flushes = "FULL" if survives_power_cut else "NORMAL"
                    before = (f"PRAGMA synchronous = {flushes}", "PRAGMA busy_timeout = 0")
                    after = f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}"
                    driver.begin_with_next(seconds, before, after)
                yield session

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session for reading only, which waits for no writer; raises like `begin`."""
        with self._using():
            async with self._sessions.begin() as session:
                yield session

    async def now(self) -> float:
        """Unix seconds by the clock that all processes share: the database server's, or this machine's."""
        if self.is_sqlite:
            return time.time()
        async with self.read() as session:
            return float(await session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)

    async def lock(self, session: AsyncSession, *names: str) -> None:
        """Hold the named locks until ``session`` commits; SQLite's write lock covers them already."""
        if not self.is_sqlite:
            for name in names:
                await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    async def close(self) -> None:
        """Let sessions that are open end, and close every connection; later ones raise DatabaseBusy.

        A cancelled session gives its connection back a moment later, and an engine whose connections are closed opens
        new ones: nobody would close either.
        """
        self._is_closed = True
        pool = cast(QueuePool, self.engine.pool)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._in_use or pool.checkedout():
                    await asyncio.sleep(LOOK_SECONDS)
        await self.engine.dispose()

    @asynccontextmanager
    async def _my_turn(self, patience: float) -> AsyncGenerator[float]:
        """Wait for SQLite's single write lock, whose own wait is a sleep; yields the seconds of patience left."""
        if not self.is_sqlite:
            yield patience
            return
        deadline, is_mine = time.monotonic() + patience, False
        while not is_mine:
            seconds = deadline - time.monotonic()
            try:
                async with asyncio.timeout(seconds):  # wait_for of Python 3.11 may swallow a cancellation
                    is_mine = await self._turn_to_write.acquire()
            except TimeoutError as error:
                if time.monotonic() >= deadline:  # a loop's virtual time may have jumped
                    raise DatabaseBusy from error
        try:
            yield max(0.0, deadline - time.monotonic())
        finally:
            self._turn_to_write.release()

    @contextmanager
    def _using(self) -> Generator[None]:
        """Tell errors in our own words, and let nothing begin after `close`."""
        if self._is_closed:
            raise DatabaseBusy
        self._in_use += 1
        try:
            yield
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
            if code in BUSY or error.connection_invalidated:
                raise DatabaseBusy from error
            if code in FULL:
                raise StorageFull from error
            if code in READ_ONLY:
                raise StorageReadOnly from error
            raise
        except (ConnectionError, PoolTimeout) as error:
            raise DatabaseBusy from error
        finally:
            self._in_use -= 1


def _sqlite_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url, module=SqliteDriver(), connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    del prepare  # SQLAlchemy holds it
    return engine


def _postgres_engine(url: str) -> AsyncEngine:
    settings = {
        "lock_timeout": f"{BUSY_SECONDS * 1000:.0f}",
        # Otherwise a connection keeps the plan that it made for a short queue and scans a long one.
        "plan_cache_mode": "force_custom_plan",
    }
    return create_async_engine(
        url,
        connect_args={"server_settings": settings},
        pool_pre_ping=True,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )
