"""Refused requests and the log of changes stay within their limits, and nothing goes that somebody still needs."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from limner.bot.app import App
from limner.bot.errors import QueueFull, Refused
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.filters.policies import PolicyReader
from limner.bot.guild_settings import Guilds
from limner.bot.moderation import refusals
from limner.bot.moderation.reviews import Reviews
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage import audit_log
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history import retention
from limner.bot.storage.history.history import History
from limner.bot.storage.history.retention import Retention, trim_changes, trim_refusals
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import Job
from limner.bot.submit import submit
from tests.rows import new_job, painted

DAY = 86_400.0
FREE = Retention(days=90, member_bytes=1e9, server_bytes=1e9)
SERVER, MEMBER, MODERATOR = 101, 1, 7


@pytest.fixture
def history(database: Database, tmp_path: Path) -> History:
    return History(database, ImageStore(tmp_path / "images", Cipher()))


@pytest.fixture
async def filters(database: Database) -> AsyncGenerator[ContentFilter]:
    filters = ContentFilter(database, Guilds(database), PolicyReader(Settings()))
    yield filters
    filters.close()


async def refused(
    history: History, idea: str, days_ago: float = 0, user_id: int = MEMBER, guild_id: int = SERVER
) -> Job:
    """A refused request of some days ago."""
    new = new_job(idea, user_id, guild_id=guild_id)
    job = await JobQueue(history.database).log_refusal(new, "filter:idea", "The idea is not allowed.")
    async with history.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(created_at=time.time() - days_ago * DAY))
    return job


async def ideas(database: Database) -> list[str]:
    """Of all requests that are kept, oldest first."""
    async with database.read() as session:
        return list(await session.scalars(select(Job.idea).order_by(Job.id)))


async def test_refusals_go_by_age(history: History):
    await refused(history, "old", 91)
    await painted(JobQueue(history.database), new_job("painted"))
    await refused(history, "young", 89)
    assert await trim_refusals(history, FREE) == 1
    assert await ideas(history.database) == ["painted", "young"]
    assert await trim_refusals(history, FREE) == 0


async def test_refusals_go_by_bytes_of_a_member_and_of_a_server_the_oldest_first(history: History):
    long = "x" * 1000
    for number in range(3):
        await refused(history, f"{long} {number}", 2)
        await refused(history, f"{long} other {number}", 2, user_id=2)
    await refused(history, "elsewhere", 2, guild_id=202)
    row = 4000  # the idea is in it three times
    assert await trim_refusals(history, replace(FREE, member_bytes=2.5 * row)) == 2
    assert [idea.removeprefix(long) for idea in await ideas(history.database)] == [
        " 1",
        " other 1",
        " 2",
        " other 2",
        "elsewhere",
    ]
    assert await trim_refusals(history, replace(FREE, server_bytes=1.5 * row)) == 3
    assert [idea.removeprefix(long) for idea in await ideas(history.database)] == [" other 2", "elsewhere"]


async def test_what_evasion_is_compared_with_and_what_moderators_see_stays(
    history: History, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "LAST", 2)
    none = Retention(days=0.1, member_bytes=1, server_bytes=1)
    reviews = Reviews(history.database)
    appealed = await refused(history, "appealed", 200)
    review = await reviews.appeal(appealed, "It is a duck.")
    await refused(history, "yesterday", 1.1)
    for number in range(3):
        await refused(history, f"just now {number}")
    assert await trim_refusals(history, none) == 2
    assert await ideas(history.database) == ["appealed", "just now 1", "just now 2"]
    found = await history.refused(MEMBER, SERVER, 600, 10)
    assert [asked.idea for asked in found] == ["just now 2", "just now 1"]
    assert (await reviews.get(review.id)).job_id == appealed.id
    await JobQueue(history.database).reopen(appealed.id, [])
    assert await trim_refusals(history, none) == 0


async def test_the_picture_of_a_removed_refusal_goes_unless_another_request_has_it(history: History, tmp_path: Path):
    images = ImageStore(tmp_path / "images", Cipher())
    jobs = JobQueue(history.database)
    hashes = [images.save(content) for content in (b"one", b"two")]
    for sha256 in (*hashes, hashes[0]):
        new = new_job("given", guild_id=SERVER)
        new = replace(new, request=replace(new.request, init_image=sha256))
        job = await jobs.log_refusal(new, "filter:idea", "No.")
        days = 0 if sha256 == hashes[0] and job.id > 2 else 100
        async with history.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job.id).values(created_at=time.time() - days * DAY))
    assert await trim_refusals(history, FREE) == 2
    assert [images.path(sha256).exists() for sha256 in hashes] == [True, False]


async def test_changes_go_by_age_and_bytes_and_those_that_are_kept_can_be_undone(
    filters: ContentFilter, database: Database
):
    reason = "r" * 100
    for number in range(4):
        await filters.add(SERVER, f"word{number}", MODERATOR, reason=reason)
    await filters.add(SERVER, "theirs", 8, reason=reason)
    await filters.add(202, "elsewhere", MODERATOR)
    assert await trim_changes(database, FREE) == 0
    assert await trim_changes(database, replace(FREE, member_bytes=2200)) == 2
    kept = (await audit_log.page(database, SERVER)).changes
    assert [change.after["rules"][0]["pattern"] for change in kept] == ["theirs", "word3", "word2"]
    await filters.undo(SERVER, kept[-1].id, MODERATOR)
    assert [rule.pattern for rule in await filters.all(SERVER)] == ["word0", "word1", "word3", "theirs"]
    assert await trim_changes(database, replace(FREE, server_bytes=1)) == 3
    assert [change.what for change in (await audit_log.page(database, SERVER)).changes] == ["undo"]
    assert len((await audit_log.page(database, 202)).changes) == 1
    assert await trim_changes(database, replace(FREE, days=-1)) == 0


async def test_a_flood_of_refusals_ends_in_no_more_rows(app: App, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "MOST", 3)
    await app.filters.add(SERVER, "badger", MODERATOR)
    outcomes: list[type[Exception]] = []
    for number in range(5):
        new = new_job(f"badger {number}", model="doodle", guild_id=SERVER)
        with pytest.raises((Refused, QueueFull)) as told:
            await submit(app, replace(new, request=replace(new.request, width=256, height=256)))
        outcomes.append(told.type)
    assert outcomes == [Refused] * 3 + [QueueFull] * 2
    assert await ideas(app.database) == ["badger 0", "badger 1", "badger 2"]
