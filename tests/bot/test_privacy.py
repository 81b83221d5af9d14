"""What is kept of a member, and that nothing is left of what was erased."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import String, Text, select, update

from limner.bot.queue.jobs import JobQueue, StoredPicture
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import merge_index
from limner.bot.storage.history.history import History
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.base import Json, List
from limner.bot.storage.tables.models import Image, Job
from tests.rows import new_job, painted, seen

SERVER = 101
CODES = {"status", "kind", "expand", "weights_key", "worker_id", "action", "reason_code", "rule_action"}
NUMBERS = {"rule_ids", "pardoned_ids"}
"""Columns of a request that hold codes, and lists of the numbers of rules."""


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def history(database: Database, images: ImageStore) -> History:
    return History(database, images)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database)


async def rows(history: History) -> list[Job]:
    """All requests, deleted or not."""
    async with history.database.read() as session:
        return list(await session.scalars(select(Job).order_by(Job.id)))


def words(job: Job) -> set[str]:
    """What the row's texts and lists hold, beside codes."""
    types = (String, Text, type(Json), type(List))
    named = [column.name for column in Job.__table__.columns if isinstance(column.type, types)]
    return {repr(getattr(job, name)) for name in named if name not in CODES} - {"''", "None", "{}", "[]"}


async def test_a_deleted_request_keeps_its_times_numbers_and_codes_only(
    history: History, jobs: JobQueue, images: ImageStore
):
    new = new_job("a purple cow", guild_id=SERVER, channel_id=7, style="ink", input_name="me.png")
    new = replace(new, request=replace(new.request, negative_prompt="grass", init_image=images.save(b"given")))
    picture = StoredPicture(images.save(b"painted"), 16, 16, 7, 7, seen())
    job = await painted(jobs, new, picture)
    await jobs.attach_message(job.id, 9)
    assert words(job)

    await history.delete(job.id)
    [row] = await rows(history)
    assert words(row) == set()
    assert (row.user_id, row.guild_id, row.status, row.samples) == (1, SERVER, "succeeded", 1)
    assert row.erased_at
    assert (row.channel_id, row.message_id, row.images) == (None, None, [])
    assert list(images.folder.rglob("*.png")) == []
    await history.delete(job.id)


async def test_the_words_of_a_refusal_go_a_day_later_and_those_before_this_version_too(
    history: History, jobs: JobQueue
):
    job = await jobs.log_refusal(new_job("a purple cow", guild_id=SERVER), "filter:idea", "No.")
    elsewhere = await jobs.log_refusal(new_job("a purple cow"), "filter:idea", "No.")
    await history.delete_all([job.id, elsewhere.id])
    assert [row.idea for row in await rows(history)] == ["a purple cow", ""]
    assert [asked.idea for asked in await history.refused(1, SERVER, 600, 10)] == ["a purple cow"]

    async with history.database.begin() as session:
        await session.execute(update(Job).values(created_at=time.time() - 90_000))
    assert await history.erase_deleted() == 1
    assert [row.idea for row in await rows(history)] == ["", ""]
    assert await history.erase_deleted() == 0


async def test_the_words_of_a_running_request_go_when_it_has_ended(history: History, jobs: JobQueue):
    await jobs.enqueue(new_job("a purple cow"))
    [job] = await jobs.claim("painter", capacity=1)
    await history.delete(job.id)
    assert await history.erase_deleted() == 0
    assert await jobs.end_cancelled("painter") == {job.id}
    assert await history.erase_deleted() == 1
    assert [words(row) for row in await rows(history)] == [set()]


async def test_erased_words_are_nowhere_in_the_bytes_of_the_database(settings: Settings):
    database = Database(settings.url)
    history, jobs = History(database, ImageStore(settings.data / "images")), JobQueue(database)
    for number in range(20):
        await jobs.enqueue(new_job(f"a cow {number}"))
    job = await jobs.enqueue(new_job("a zanzibarian giraffe " * 300))
    await history.delete(job.id)
    await merge_index(database)
    async with database.read() as session:
        assert (await session.scalars(select(Image))).all() == []
    await database.close()
    file = settings.data / "limner.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"zanzibarian" not in file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM")
        found = connection.execute("SELECT count(*) FROM jobs_fts WHERE jobs_fts MATCH 'cow'").fetchone()
    assert b"zanzibarian" not in file.read_bytes()
    assert found == (20,)
