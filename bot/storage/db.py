"""The database: engine, sessions, and how its errors are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from limner.bot.errors import DatabaseBusy, StorageFull, StorageReadOnly, UserError

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]

BUSY_SECONDS = 2.0
"""How long a write waits for another's before its asker is told; well inside Discord's 3 seconds."""

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

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.url = url
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._turn_to_write = asyncio.Lock()
        self._shared: dict[asyncio.Future[Any], tuple[Work[Any], float]] = {}
        self._turn_to_share = asyncio.Lock()

    @asynccontextmanager
    async def begin(self, patience: float = BUSY_SECONDS) -> AsyncGenerator[AsyncSession]:
        """A session whose work is committed together, or not at all.

        On SQLite it is the only writer from its beginning on, so what it has read stays true until it commits; it
        waits for the writer before it for ``patience`` seconds.

        Raises:
            DatabaseBusy: another holds the write lock for too long, or the database does not answer.
            StorageFailed: the disk is full, or the database may not be written.
        """
        with _errors_told():
            async with self._my_turn(patience) as seconds, self._sessions.begin() as session:
                if self.is_sqlite:
                    connection = await session.connection()
                    await connection.exec_driver_sql(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield session

    async def share(self, work: Work[T]) -> T:
        """Do ``work`` in one transaction with the work of all who wait to write at this moment.

        On SQLite each commit waits for the disk, so a burst of commands would wait for hundreds of them in a row.
        ``work`` is given the session; it may raise a UserError before it has written anything, and raises like `begin`.
        """
        if not self.is_sqlite:
            async with self.begin() as session:
                return await work(session)
        done = asyncio.get_running_loop().create_future()
        self._shared[done] = work, time.monotonic() + BUSY_SECONDS
        try:
            async with self._turn_to_share:
                if done in self._shared:
                    # Shielded: who is cancelled must not take back what others are about to be told is written.
                    await asyncio.shield(asyncio.ensure_future(self._do_shared()))
            return await asyncio.shield(done)
        finally:
            self._shared.pop(done, None)

    async def _do_shared(self) -> None:
        shared, self._shared = self._shared, {}
        outcomes: dict[asyncio.Future[Any], Any] = {}
        patience = min((deadline for _, deadline in shared.values()), default=0.0) - time.monotonic()
        try:
            async with self.begin(max(0.0, patience)) as session:
                for done, (work, _) in shared.items():
                    try:
                        outcomes[done] = await work(session)
                    except UserError as error:
                        outcomes[done] = error
        except Exception as error:
            outcomes = dict.fromkeys(shared, error)
        for done, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                done.set_exception(outcome)
                done.exception()  # its asker may be gone
            else:
                done.set_result(outcome)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session for reading only, which waits for no writer; raises like `begin`."""
        with _errors_told():
            async with self._sessions.begin() as session:
                yield session

    async def now(self) -> float:
        """Unix seconds by the one clock that all who use this database share: the server's, or this machine's."""
        if self.is_sqlite:
            return time.time()
        async with self.read() as session:
            return float(await session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)

    async def lock(self, session: AsyncSession, *names: str) -> None:
        """Keep others out of the same named places until ``session`` commits; on SQLite they are out already."""
        if not self.is_sqlite:
            for name in names:
                await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _my_turn(self, patience: float) -> AsyncGenerator[float]:
        """Queue for SQLite's one write lock (it lets waiting writers sleep); yields the seconds of patience left."""
        if not self.is_sqlite:
            yield patience
            return
        deadline = time.monotonic() + patience
        try:
            async with asyncio.timeout(patience):  # wait_for of Python 3.11 may swallow a cancellation
                await self._turn_to_write.acquire()
        except TimeoutError as error:
            raise DatabaseBusy from error
        try:
            yield max(0.0, deadline - time.monotonic())
        finally:
            self._turn_to_write.release()


def _sqlite_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    del prepare  # SQLAlchemy holds it
    return engine


def _postgres_engine(url: str) -> AsyncEngine:
    settings = {
        "lock_timeout": f"{BUSY_SECONDS * 1000:.0f}",
        # Else a connection keeps the plan that it made while the queue was short, and reads all of a long one.
        "plan_cache_mode": "force_custom_plan",
    }
    return create_async_engine(
        url,
        connect_args={"server_settings": settings},
        pool_pre_ping=True,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )


@contextmanager
def _errors_told() -> Generator[None]:
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
