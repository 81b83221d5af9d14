"""The database's troubles, really provoked: another process holds the lock, the disk is full, the server is gone."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import cast

import pytest
from sqlalchemy import QueuePool, event, text

from limner.bot.app import App
from limner.bot.errors import DatabaseBusy, QueueFull, StorageFull
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from tests.rows import new_job


@contextmanager
def write_lock(app: App) -> Generator[None]:
    """Another process that writes for a long time."""
    with closing(sqlite3.connect(app.settings.data / "limner.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_a_jump_of_the_loops_own_time_is_no_wait_for_the_database(app: App, monkeypatch: pytest.MonkeyPatch):
    """The demo's clock jumps; the disk is not slower for it."""
    loop, ahead = asyncio.get_running_loop(), [0.0]
    usual = loop.time
    monkeypatch.setattr(loop, "time", lambda: usual() + ahead[0])
    async with app.database.begin() as session:
        await session.execute(text("SELECT 1"))
        tries = [asyncio.ensure_future(app.jobs.enqueue(new_job()))]
        await asyncio.sleep(0.01)
        tries.append(asyncio.ensure_future(app.jobs.enqueue(new_job())))
        await asyncio.sleep(0.01)
        ahead[0] = 3600.0
        await asyncio.sleep(0.05)
    assert [job.id for job in await asyncio.gather(*tries)] == [1, 2]


async def test_a_locked_database_is_told_within_three_seconds_and_nothing_is_written(app: App):
    await app.jobs.enqueue(new_job())
    with write_lock(app):
        began = time.monotonic()
        tries = [app.jobs.enqueue(new_job()) for _ in range(5)]
        told = await asyncio.gather(*tries, return_exceptions=True)
        seconds = time.monotonic() - began

        assert [type(error) for error in told] == [DatabaseBusy] * 5
        assert 1 < seconds < 3
        assert await app.jobs.counts() == (1, 0)  # who reads does not wait

    assert (await app.jobs.enqueue(new_job())).id == 2


async def test_a_burst_of_requests_shares_a_few_commits_and_a_refusal_in_it_harms_nobody(app: App):
    commits = 0

    @event.listens_for(app.database.engine.sync_engine, "commit")
    def count(_connection: object) -> None:
        nonlocal commits
        commits += 1

    burst = [app.jobs.enqueue(new_job(user_id=user), per_user=1) for user in (*range(40), *range(5))]
    told = await asyncio.gather(*burst, return_exceptions=True)

    assert [type(outcome) for outcome in told] == [Job] * 40 + [QueueFull] * 5
    assert await app.jobs.counts() == (40, 0)
    assert commits < 10


async def test_a_row_that_cannot_be_written_costs_nobody_else_a_row(app: App):
    ideas = ["a fox", "half a character: \ud800", *(f"fox {number}" for number in range(20))]
    burst = [app.jobs.enqueue(new_job(idea, user_id=user)) for user, idea in enumerate(ideas)]
    told = await asyncio.gather(*burst, return_exceptions=True)

    assert [type(outcome) for outcome in told] == [Job, UnicodeEncodeError, *[Job] * 20]
    written = [await app.jobs.get(job.id) for job in told if isinstance(job, Job)]
    assert [job.idea for job in written] == [idea for idea in ideas if "\ud800" not in idea]
    assert await app.jobs.counts() == (21, 0)


async def test_a_member_who_asks_ten_times_at_once_gets_three_places_of_three(app: App):
    burst = [app.jobs.enqueue(new_job(user_id=1, guild_id=2), per_user=3) for _ in range(10)]
    told = await asyncio.gather(*burst, return_exceptions=True)

    assert [type(outcome) for outcome in told] == [Job] * 3 + [QueueFull] * 7
    numbers = [job.id for job in told if isinstance(job, Job)]
    assert [job.id for job in await app.jobs.open_jobs(1)] == numbers
    assert (await app.jobs.enqueue(new_job(user_id=2))).id > max(numbers)


async def test_positions_asked_for_at_once_are_those_told_one_by_one(app: App):
    for user in range(30):
        await app.jobs.enqueue(new_job(user_id=user % 7, guild_id=1 + user % 3, model="ab"[user % 2]))
    [running] = await app.jobs.claim("w", capacity=1)
    waiting = [job for job in [await app.jobs.get(number) for number in range(1, 31)] if job.id != running.id]
    asked = [*waiting, await app.jobs.get(running.id)]
    statements = 0

    @event.listens_for(app.database.engine.sync_engine, "before_cursor_execute")
    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    together = await asyncio.gather(*map(app.jobs.position, asked))
    for_all, statements = statements, 0
    apart = [await app.jobs.position(job) for job in asked]

    assert together == apart
    assert for_all < 2 * statements / len(asked)  # what many have in common is read once
    assert max(place.ahead for place in together) > 20


async def test_who_gives_up_waiting_for_the_lock_takes_nobody_along(app: App):
    with write_lock(app):
        asked = [asyncio.create_task(app.jobs.enqueue(new_job(user_id=user))) for user in range(3)]
        await asyncio.wait(asked, timeout=0.3)
        asked[1].cancel()
        await asyncio.wait(asked, timeout=0.3)

    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Job, asyncio.CancelledError, Job]


async def test_who_writes_for_all_and_is_cancelled_still_writes(app: App):
    with write_lock(app):
        asked = [asyncio.create_task(app.jobs.enqueue(new_job(user_id=user))) for user in range(3)]
        await asyncio.wait(asked, timeout=0.3)
        asked[0].cancel()
        await asyncio.wait(asked, timeout=0.3)

    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, Job, Job]
    assert await app.jobs.counts() == (3, 0)


async def test_a_lock_that_ends_soon_is_waited_for(app: App):
    with write_lock(app):
        asked = asyncio.create_task(app.jobs.enqueue(new_job()))
        await asyncio.wait([asked], timeout=0.3)
        assert not asked.done()

    assert (await asked).id == 1


@contextmanager
def unceasing_writer(app: App) -> Generator[None]:
    """A bot under load, with connections of its own: while one transaction is open, others wait for its end."""
    stopping = threading.Event()

    async def write(database: Database) -> None:
        while not stopping.is_set():
            async with database.begin(survives_power_cut=False) as session:
                await session.execute(text("SELECT 1"))
                await asyncio.sleep(0.02)

    async def write_much() -> None:
        database = Database(app.settings.url)
        await asyncio.gather(*(write(database) for _ in range(4)))
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(write_much()))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


async def test_another_process_that_writes_without_end_does_not_take_every_turn(app: App):
    """SQLite's own wait looks ten times a second, and missed the moments between the transactions."""
    waits: list[float] = []
    with unceasing_writer(app):
        for _ in range(80):
            began = time.monotonic()
            async with app.database.begin(survives_power_cut=False) as session:
                await session.execute(text("SELECT 1"))
            waits.append(time.monotonic() - began)
    assert max(waits) < 1


async def test_a_full_disk_is_told_and_nothing_is_half_written(settings: Settings):
    database = Database(settings.url)

    @event.listens_for(database.engine.sync_engine, "connect")
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}").close()

    jobs = JobQueue(database)
    asked = [await asyncio.gather(jobs.enqueue(new_job("fox " * 200)), return_exceptions=True) for _ in range(30)]

    refused = [outcome for [outcome] in asked if isinstance(outcome, BaseException)]
    assert refused
    assert all(isinstance(error, StorageFull) and "disk is full" in str(error) for error in refused)
    assert await jobs.counts() == (30 - len(refused), 0)
    await database.close()
    assert limit


async def test_work_that_fails_half_way_leaves_nothing(database: Database):
    async def fail_half_way() -> None:
        async with database.begin() as session:
            await session.execute(text("INSERT INTO synced_commands VALUES (1, 'x')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()

    async with database.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM synced_commands")) == 0


async def test_a_write_whose_caller_is_cancelled_leaves_no_transaction_open(settings: Settings):
    database, other = Database(settings.url), Database(settings.url)
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n"

    async def write_slowly() -> None:
        async with database.begin() as session:
            await session.execute(text(f"INSERT INTO synced_commands SELECT 1, ({numbers})"))

    writing = asyncio.create_task(write_slowly())
    pool = cast(QueuePool, database.engine.sync_engine.pool)
    while not pool.checkedout():
        await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    for each in (database, other):
        async with each.begin() as session:
            assert await session.scalar(text("SELECT count(*) FROM synced_commands")) == 0
    await asyncio.gather(database.close(), other.close())


async def test_only_what_may_be_lost_in_a_power_cut_does_not_wait_for_the_disk(settings: Settings):
    database, found = Database(settings.url), list[int]()
    for survives in (True, False, True):
        async with database.begin(survives_power_cut=survives) as session:
            found.append(await session.scalar(text("PRAGMA synchronous")) or 0)

    assert found == [2, 1, 2]  # FULL, NORMAL
    await database.close()


async def test_what_a_transaction_has_read_stays_true_until_it_commits(database_url: str):
    """Two count the rows and then add one; each must count what the other added."""
    databases = [Database(database_url) for _ in range(2)]

    async def count_and_add(database: Database, number: int) -> int:
        async with database.begin() as session:
            await database.lock(session, "counting")
            count = await session.scalar(text("SELECT count(*) FROM synced_commands"))
            await session.execute(text("INSERT INTO synced_commands VALUES (:id, 'x')"), {"id": number})
        return count or 0

    counts = await asyncio.gather(*(count_and_add(databases[n % 2], n) for n in range(10)))

    assert sorted(counts) == list(range(10))
    for database in databases:
        await database.close()


async def test_a_server_that_is_gone_is_told():
    jobs = JobQueue(Database("postgresql+asyncpg://nobody@127.0.0.1:1/none"))

    with pytest.raises(DatabaseBusy):
        await jobs.enqueue(new_job())


async def test_a_server_that_went_away_comes_back(postgres_url: str):
    database, other = Database(postgres_url), Database(postgres_url)
    jobs = JobQueue(database)
    await jobs.enqueue(new_job())
    ours = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with other.begin() as session:
        await session.execute(text(f"SELECT pg_terminate_backend(pid) {ours}"))

    assert (await jobs.enqueue(new_job())).id == 2
    for opened in (database, other):
        await opened.close()


async def test_a_row_that_another_holds_on_postgres_is_told_too(postgres_url: str):
    database, other = Database(postgres_url), Database(postgres_url)
    job = await JobQueue(database).enqueue(new_job())
    async with other.begin() as session:
        await session.execute(text("SELECT * FROM jobs FOR UPDATE"))
        with pytest.raises(DatabaseBusy):
            await JobQueue(database).cancel(job.id, "")
    for opened in (database, other):
        await opened.close()


async def test_closing_lets_an_open_session_end(settings: Settings):
    database, is_read, may_end = Database(settings.url), asyncio.Event(), asyncio.Event()

    async def read() -> int | None:
        async with database.read() as session:
            is_read.set()
            await may_end.wait()
            return await session.scalar(text("SELECT 1"))

    reading = asyncio.create_task(read())
    await is_read.wait()
    async with database.read() as session:  # a second connection, which is given back to the pool
        await session.scalar(text("SELECT 1"))
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    await database.close()
    assert await reading == 1
    gc.collect()  # a connection that nobody has closed is an error now


async def test_a_closed_database_opens_no_connection(settings: Settings):
    database = Database(settings.url)
    opened = 0

    @event.listens_for(database.engine.sync_engine, "connect")
    def count(_connection: object, _record: object) -> None:
        nonlocal opened
        opened += 1

    await database.close()
    for session in (database.read, database.begin):
        with pytest.raises(DatabaseBusy):
            async with session():
                pass
    assert opened == 0
