"""History on both databases: pages, one's own requests only, and deleting without a trace."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import text

from limner.bot.errors import NotFound
from limner.bot.queue.endings import StoredPicture
from limner.bot.queue.jobs import JobQueue
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.history import History
from limner.bot.storage.pictures.image_store import ImageStore
from tests.rows import QUICKLY_ON_SQLITE, new_job, painted, seen


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database)


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", Cipher())


@pytest.fixture
def history(database: Database, images: ImageStore) -> History:
    return History(database, images)


def stored(images: ImageStore, content: str) -> StoredPicture:
    """A picture with a file."""
    return StoredPicture(images.save(content.encode()), 16, 16, len(content), 7, seen())


@QUICKLY_ON_SQLITE
async def test_pages_are_newest_first_and_count_together(jobs: JobQueue, history: History):
    for number in range(5):
        await painted(jobs, new_job(f"fox {number}"))
    await painted(jobs, new_job("somebody else's", user_id=2))

    assert [job.idea for job in await history.page(1, limit=2)] == ["fox 4", "fox 3"]
    assert [job.idea for job in await history.page(1, before=2, limit=2)] == ["fox 0"]
    assert await history.page(1, before=1, limit=2) == []
    assert await history.count(1) == 5
    assert await history.count(None) == 6
    assert [len(job.images) for job in await history.page(None)] == [1] * 4


@QUICKLY_ON_SQLITE
async def test_only_what_was_painted_unless_asked_for(jobs: JobQueue, history: History):
    await painted(jobs, new_job("painted"))
    await jobs.cancel((await jobs.enqueue(new_job("cancelled"))).id, "")
    await jobs.log_refusal(new_job("refused"), "filter", "No.")
    await jobs.enqueue(new_job("queued"))

    assert [job.idea for job in await history.page(1)] == ["painted"]
    everything = ["queued", "refused", "cancelled", "painted"]
    assert [job.idea for job in await history.page(1, every_status=True)] == everything
    assert await history.count(1, every_status=True) == 4


async def test_search_reads_the_idea_and_the_prompt_of_ones_own(jobs: JobQueue, history: History):
    await painted(jobs, new_job("a fox", prompt="a fox, golden light"))
    await painted(jobs, new_job("a golden car"))
    await painted(jobs, new_job("a golden fox", user_id=2))

    assert [job.id for job in await history.page(1, search="golden")] == [2, 1]
    assert [job.id for job in await history.page(1, search="golden fox")] == [1]
    assert [job.id for job in await history.page(None, search="golden fox")] == [3, 1]
    assert await history.page(1, search="whale") == []
    assert len(await history.page(1, search="   ")) == 2
    assert await history.page(1, search="?!") == []


async def test_what_is_deleted_is_nowhere(jobs: JobQueue, history: History, images: ImageStore):
    gone = await painted(jobs, new_job("a secret fox"), stored(images, "one"), stored(images, "two"))
    kept = await painted(jobs, new_job("a fox"), stored(images, "three"))

    await history.delete(gone.id)

    assert [job.id for job in await history.page(None, every_status=True)] == [kept.id]
    assert await history.page(None, search="secret", every_status=True) == []
    assert [path.name for path in images.folder.rglob("*.png")] == [images.path(kept.images[0].sha256).name]
    with pytest.raises(NotFound):
        await jobs.get(gone.id)


async def test_the_index_forgets_the_words_of_what_is_deleted(jobs: JobQueue, history: History, database: Database):
    job = await painted(jobs, new_job("a secret fox"))
    await history.delete(job.id)

    index = "SELECT job_id FROM jobs_fts WHERE terms <> '{}'"
    if database.is_sqlite:
        index = "SELECT rowid FROM jobs_fts WHERE jobs_fts MATCH 'secret OR 0p1'"
    async with database.read() as session:
        assert (await session.execute(text("SELECT search_facets, search_text FROM jobs"))).all() == [("", "")]
        assert (await session.scalars(text(index))).all() == []


@QUICKLY_ON_SQLITE
async def test_a_file_that_another_picture_shares_stays_until_the_last_is_deleted(
    jobs: JobQueue, history: History, images: ImageStore
):
    one, other = [await painted(jobs, new_job(), stored(images, "same")) for _ in range(2)]
    sha256 = hashlib.sha256(b"same").hexdigest()

    await history.delete(one.id)
    assert images.read(sha256) == b"same"
    await history.delete(other.id)

    with pytest.raises(FileNotFoundError):
        images.read(sha256)


@QUICKLY_ON_SQLITE
async def test_deleting_twice_or_without_a_file_is_no_error(jobs: JobQueue, history: History, images: ImageStore):
    job = await painted(jobs, new_job(), stored(images, "one"))
    images.delete(job.images[0].sha256)

    await history.delete(job.id)
    await history.delete(job.id)

    assert await history.count(1) == 0


@QUICKLY_ON_SQLITE
async def test_a_sweep_removes_only_old_pictures_that_never_got_their_row(
    jobs: JobQueue, history: History, images: ImageStore
):
    kept, unnoticed = [await painted(jobs, new_job(), stored(images, content)) for content in ("kept", "unnoticed")]
    images.keep(kept.images[0].sha256)
    abandoned = images.save(b"its worker was killed")

    assert await history.sweep() == 0
    assert await history.sweep(older_than=-1) == 1

    left = {path.name for path in images.folder.rglob("*") if path.is_file()}
    assert left == {images.path(job.images[0].sha256).name for job in (kept, unnoticed)}
    with pytest.raises(FileNotFoundError):
        images.read(abandoned)


async def test_a_sweep_with_the_wrong_database_costs_no_picture(history: History, images: ImageStore):
    images.keep(sha256 := images.save(b"a row of another database holds it"))

    assert await history.sweep(older_than=-1) == 0

    assert images.read(sha256)
