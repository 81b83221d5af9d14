"""What fails while a worker paints: a request, a model, a disk, a database, the device, and the worker itself."""

import asyncio
import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from limner.bot.app import App, open_app
from limner.bot.errors import StorageReadOnly
from limner.bot.queue import endings
from limner.bot.queue.enqueue import NewJob
from limner.bot.queue.faults import DEVICE_LOST, HUNG, WorkerBroken
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import LORAS
from limner.bot.storage import db
from limner.bot.worker import worker as worker_module
from limner.bot.worker.worker import Worker
from limner.generators.diffusion.stacked_calls import Call
from limner.generators.requests import GenerationRequest
from tests.bot.test_worker import (
    AddingExpander,
    WatchedExecutor,
    ask,
    expander,
    make_worker,
    row,
    running,
    seen,
    settings,
    sql,
    tiny,
    worker,
)
from tests.discord_records import until
from tests.tiny_models import tiny_request, write_tiny_lora

__all__ = ["expander", "settings", "tiny", "worker"]


async def test_a_request_that_cannot_be_painted_fails_alone(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    before = await ask(app, user_id=1)
    poison = await app.jobs.enqueue(NewJob(idea="x", request=_poison(app), user_id=2))
    after = await ask(app, user_id=3)
    await make_worker(app, expander, executor).run(burst=True)
    statuses = [(await app.jobs.get(job.id)).status for job in (before, poison, after)]
    assert statuses == [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SUCCEEDED]
    failed = await app.jobs.get(poison.id)
    assert failed.reason_code == "bad_request"
    assert failed.reason
    assert failed.reason.endswith(".")
    assert {str(before.id), str(after.id)} in executor.batches


@pytest.mark.slow
async def test_values_that_are_not_numbers_are_tried_once_and_blamed_on_the_lora(
    app: App, worker: Worker, tiny: Path
) -> None:
    write_tiny_lora(tiny, app.settings.data / LORAS / "tiny" / "nan.safetensors", 0, scale=float("nan"))
    job = await ask(app, lora="nan")

    await worker.run(burst=True)

    failed = await app.jobs.get(job.id)
    assert (failed.status, failed.attempts, failed.reason_code) == (JobStatus.FAILED, 1, "not_numbers")
    assert failed.reason == "With the LoRA nan this model computes values that are not numbers; ask again without it."


async def test_a_model_that_fails_on_a_request_gets_one_more_attempt_alone(
    settings: Settings, expander: AddingExpander, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_call: Call) -> None:
        raise RuntimeError("the size of tensor a must match the size of tensor b")

    async with open_app(settings.using(max_attempts=5)) as app:
        monkeypatch.setattr(Call, "make", fail)
        job = await ask(app)
        for _ in range(3):
            await make_worker(app, expander).run(burst=True)
            await sql(app, "UPDATE jobs SET not_before = 0")
        failed = await app.jobs.get(job.id)
    assert (failed.status, failed.attempts, failed.reason_code) == (JobStatus.FAILED, 2, "model_failed")


def _poison(app: App) -> GenerationRequest:
    card = app.settings.default_card
    return tiny_request(scheduler="NoSuchScheduler", width=card.width, height=card.height)


@pytest.mark.parametrize("trouble", ["disk", pytest.param("readonly", marks=pytest.mark.slow)])
async def test_what_cannot_be_stored_costs_no_attempt_and_waits_until_it_can(
    app: App, expander: AddingExpander, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """As often as it takes: here every file is refused, and later every folder is writable."""
    monkeypatch.setattr(worker_module, "TRY_SECONDS", 0.05)
    executor, fsync, broken = WatchedExecutor(app.settings), os.fsync, True
    refusals = 0

    def refuse(file: int) -> None:
        nonlocal refusals
        if broken:
            refusals += 1
            raise OSError(errno.ENOSPC if trouble == "disk" else errno.EROFS, "")
        fsync(file)

    monkeypatch.setattr("os.fsync", refuse)
    first, second = await ask(app, user_id=1), await ask(app, user_id=2)

    async def is_paused() -> bool:
        rows = [await app.jobs.get(job.id) for job in (first, second)]
        return [worker.trouble for worker in await app.worker_registry.alive()] == [trouble] and all(
            (row.status, row.attempts, row.reason) == (JobStatus.QUEUED, 0, None) for row in rows
        )

    async def is_painted() -> bool:
        return all([(await app.jobs.get(job.id)).status == JobStatus.SUCCEEDED for job in (first, second)])

    async with running(make_worker(app, expander, executor)):
        await seen(is_paused)
        painted, tried = len(executor.batches), refusals

        async def is_tried_again() -> bool:
            return refusals >= tried + 3

        await seen(is_tried_again)  # and still
        assert await is_paused()
        assert len(executor.batches) == painted  # nothing is painted in vain
        broken = False
        await seen(is_painted)
        assert {(await app.jobs.get(job.id)).attempts for job in (first, second)} == {1}


async def test_a_picture_folder_that_is_no_folder_is_not_a_full_disk(app: App, worker: Worker) -> None:
    app.images.folder.write_text("a file where the folder should be")
    job = await ask(app)
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert (job.status, job.attempts, job.reason) == (JobStatus.QUEUED, 0, None)
    with pytest.raises(StorageReadOnly):
        app.images.try_to_write(1)


async def test_whatever_an_expander_raises_costs_its_own_job_an_attempt(
    app: App,
    worker: Worker,
    expander: AddingExpander,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "RETRY_SECONDS", 3600.0)  # its second attempt is not to come before we have looked
    expander.error = RuntimeError("a secret prompt in the text of an error")
    broken = await ask(app)
    sound = await ask(app, expand="off")
    await worker.run(burst=True)
    job = await app.jobs.get(broken.id)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert (await app.jobs.get(sound.id)).status == JobStatus.SUCCEEDED
    assert "job_stumbled" in caplog.text
    assert "secret" not in caplog.text


async def test_a_style_that_is_gone_fails_at_once_and_says_so(app: App, worker: Worker) -> None:
    job = await ask(app)
    await sql(app, "UPDATE jobs SET style = 'gone'")
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert (job.status, job.reason_code) == (JobStatus.FAILED, "style")


async def test_a_crash_of_the_executor_costs_an_attempt_and_the_worker_goes_on(
    app: App, expander: AddingExpander
) -> None:
    executor = WatchedExecutor(app.settings)
    executor.crashes = 1
    jobs = [await ask(app, user_id=user) for user in (1, 2)]
    await make_worker(app, expander, executor).run(burst=True)
    assert {(await app.jobs.get(job.id)).status for job in jobs} == {JobStatus.QUEUED}
    await sql(app, "UPDATE jobs SET not_before = 0")
    await make_worker(app, expander, executor).run(burst=True)
    assert {(await app.jobs.get(job.id)).status for job in jobs} == {JobStatus.SUCCEEDED}


async def test_a_step_that_hangs_breaks_the_worker_and_costs_its_jobs_an_attempt(
    settings: Settings, expander: AddingExpander
) -> None:
    async with open_app(settings.using(step_timeout=2, load_timeout=20)) as app:
        executor = WatchedExecutor(app.settings)
        worker = make_worker(app, expander, executor)
        working = asyncio.create_task(worker.run())
        painting = [await ask(app, steps=10_000, user_id=user) for user in (1, 2)]
        for job in painting:
            await row(app, job, lambda job: job.step > 0)
        executor.gate.clear()
        expander.free.clear()
        expanding = await ask(app, "a slow cat", user_id=3)
        with pytest.raises(WorkerBroken) as broken:
            await asyncio.wait_for(working, 15)
        executor.gate.set()
        assert broken.value.fault is HUNG
        for job in painting:
            waiting = await app.jobs.get(job.id)
            assert (waiting.status, waiting.attempts, waiting.worker_id) == (JobStatus.QUEUED, 1, None)
            assert waiting.not_before > waiting.created_at
        assert (await app.jobs.get(expanding.id)).attempts == 0
        assert await app.worker_registry.alive() == []


async def test_after_its_last_attempt_the_owner_reads_that_it_hung(
    settings: Settings, expander: AddingExpander
) -> None:
    async with open_app(settings.using(step_timeout=2, load_timeout=20, max_attempts=1)) as app:
        executor = WatchedExecutor(app.settings)
        executor.gate.clear()
        job = await ask(app)
        with pytest.raises(WorkerBroken):
            await make_worker(app, expander, executor).run()
        executor.gate.set()
        ended = await app.jobs.get(job.id)
        assert (ended.status, ended.reason_code, ended.reason) == (JobStatus.FAILED, "hung", HUNG.reason(1))


async def test_a_lost_device_breaks_the_worker_and_the_next_one_goes_on(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    executor.losses = 1
    jobs = [await ask(app, user_id=user) for user in (1, 2)]
    with pytest.raises(WorkerBroken) as broken:
        await make_worker(app, expander, executor).run()
    assert broken.value.fault is DEVICE_LOST
    assert {(job.status, job.attempts) for job in [await app.jobs.get(job.id) for job in jobs]} == {("queued", 1)}
    await sql(app, "UPDATE jobs SET not_before = 0")
    await make_worker(app, expander).run(burst=True)
    assert {(await app.jobs.get(job.id)).status for job in jobs} == {JobStatus.SUCCEEDED}


async def test_a_busy_database_is_waited_out(
    settings: Settings, expander: AddingExpander, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.3)
    async with open_app(settings) as app:
        executor = WatchedExecutor(app.settings)
        executor.gate.clear()
        async with running(make_worker(app, expander, executor)):
            job = await ask(app, steps=1)
            await row(app, job, lambda job: job.prompt)
            file = settings.data / "limner.db"
            with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
                await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
                executor.gate.set()
                await until(lambda: "database_waits code=busy" in caplog.text)
                other.execute("ROLLBACK")
            assert (await row(app, job, lambda job: job.is_final)).status == JobStatus.SUCCEEDED
            assert len(expander.asked) == 1


async def test_a_job_that_another_worker_has_taken_is_let_go(settings: Settings, expander: AddingExpander) -> None:
    async with open_app(settings.using(lease_seconds=0.4)) as app:
        executor = WatchedExecutor(app.settings)
        async with running(make_worker(app, expander, executor)):
            job = await ask(app, steps=10_000)
            await row(app, job, lambda job: job.step > 0)
            await sql(app, "UPDATE jobs SET worker_id = 'worker-2', attempts = 2, lease_until = lease_until + 1000")
            await until(lambda: not executor.in_flight)
            job = await app.jobs.get(job.id)
            assert (job.status, job.worker_id, job.images) == (JobStatus.RUNNING, "worker-2", [])


@pytest.mark.slow
async def test_a_row_that_only_looks_like_ours_is_tried_again(settings: Settings, expander: AddingExpander) -> None:
    async with open_app(settings.using(lease_seconds=0.4)) as app:
        job = await ask(app)
        await app.jobs.claim("worker-1", capacity=4)
        async with running(make_worker(app, expander)):
            job = await row(app, job, lambda job: job.status == JobStatus.QUEUED)
            assert job.attempts == 1
