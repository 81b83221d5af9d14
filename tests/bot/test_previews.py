"""Rough pictures of jobs that are being painted: small, the newest only, and gone when the painting ends."""

import io
from collections.abc import Awaitable, Callable

import pytest
from PIL import Image

from limner.bot.queue.faults import CRASHED
from limner.bot.queue.jobs import JobQueue
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.image_files import PREVIEW_BYTES, encode_preview
from limner.bot.storage.tables.models import Job
from tests.rows import QUICKLY_ON_SQLITE, new_job, picture, seen

ROUGH = encode_preview(Image.new("RGB", (64, 64), (200, 30, 30)))


async def _finish(jobs: JobQueue, job: Job) -> None:
    assert await jobs.finish(job, [picture()], seconds=1.0, busy_seconds=1.0)


async def _fail(jobs: JobQueue, job: Job) -> None:
    assert await jobs.fail(job, "code", "A reason.")


async def _retry(jobs: JobQueue, job: Job) -> None:
    assert await jobs.retry(job, "code", "A reason.")


async def _cancel(jobs: JobQueue, job: Job) -> None:
    await jobs.cancel(job.id, "Cancelled.")
    assert await jobs.end_cancelled("painter") == {job.id}


async def _put_back(jobs: JobQueue, job: Job) -> None:
    await jobs.put_back("painter")


async def _die(jobs: JobQueue, job: Job) -> None:
    await jobs.abandon("painter", CRASHED)


@pytest.mark.parametrize("end", [_finish, _fail, _retry, _cancel, _put_back, _die])
@QUICKLY_ON_SQLITE
async def test_a_preview_goes_with_the_end_of_its_painting(
    database: Database, end: Callable[[JobQueue, Job], Awaitable[None]]
) -> None:
    jobs = JobQueue(database)
    for user in (1, 2):
        await jobs.enqueue(new_job(user_id=user))
    job, neighbour = await jobs.claim("painter", capacity=2 * 16 * 16)
    await jobs.save_preview("painter", job.id, 3, b"older", seen())
    await jobs.save_preview("painter", job.id, 4, ROUGH, seen())
    await jobs.record_steps("painter", {job.id: 4})
    kept = await jobs.preview(job.id)
    assert kept
    assert (kept.step, kept.image) == (4, ROUGH)
    await end(jobs, job)
    assert await jobs.preview(job.id) is None
    assert await jobs.preview(neighbour.id) is None


async def test_a_worker_that_lost_its_job_leaves_no_preview(database: Database) -> None:
    jobs = JobQueue(database)
    await jobs.enqueue(new_job())
    [job] = await jobs.claim("painter", capacity=16 * 16)
    await jobs.save_preview("another", job.id, 1, ROUGH, seen())
    assert await jobs.preview(job.id) is None
    await jobs.put_back("painter")
    await jobs.save_preview("painter", job.id, 1, ROUGH, seen())
    assert await jobs.preview(job.id) is None


@pytest.mark.parametrize("size", [(1024, 1024), (2048, 512), (16, 16)])
def test_even_noise_becomes_a_small_file(size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 100).convert("RGB")
    file = encode_preview(noise)
    assert len(file) <= PREVIEW_BYTES
    with Image.open(io.BytesIO(file)) as small:
        assert small.format == "JPEG"
        assert max(small.size) <= 256
        assert abs(small.width / small.height - size[0] / size[1]) < 0.05
