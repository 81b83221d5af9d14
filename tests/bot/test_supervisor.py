"""Real worker processes under a supervisor: killed, stopped, woken."""

import asyncio
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL.ImageSequence import all_frames

from limner.bot import submit
from limner.bot.animations import Movement, animate_prompts
from limner.bot.app import App
from limner.bot.errors import SetupError
from limner.bot.options.ask import Ask
from limner.bot.queue.faults import EXIT_SETUP
from limner.bot.queue.wakeup import ALIVE, CHANGED
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker import supervisor
from limner.bot.worker.launch import launched_early
from limner.bot.worker.process import NICE
from limner.bot.worker.supervisor import Supervisor
from limner.generators.animation import LEAST_FRAMES
from tests.discord_records import until
from tests.rows import asked
from tests.tiny_models import build_tiny_pipeline

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(
        models={"tiny": str(tiny)}, device="cpu", max_steps=100_000, workers=1, token="secret", log_level="WARNING"
    )


async def ask(app: App, **options: Any) -> Job:
    usual: dict[str, Any] = {"text": "a red cat", "seed": 7, "steps": 3}
    return await submit.imagine(app, asked(**usual | options))


async def row(app: App, job: Job, what: Callable[[Job], Any], seconds: float = 60) -> Job:
    """The job's row as soon as it is like that."""
    async with asyncio.timeout(seconds):
        while not what(found := await app.jobs.get(job.id)):
            await app.jobs.changed.wait(0.05)
        return found


def workers() -> list[psutil.Process]:
    """The worker processes that this test has started."""
    return [child for child in psutil.Process().children(recursive=True) if "worker" in child.cmdline()]


@pytest.mark.slow
async def test_a_killed_worker_is_replaced_and_its_job_finished(app: App, settings: Settings) -> None:
    async with Supervisor(settings, app.jobs) as keeper:
        job = await ask(app, steps=300)
        before = await row(app, job, lambda job: job.step > 0)
        [process] = workers()
        assert process.environ().get("LIMNER_TOKEN") is None
        assert "LIMNER_MODELS" in process.environ()
        process.kill()
        after = await row(app, job, lambda job: job.worker_id not in (None, before.worker_id))
        assert after.attempts == 2
        assert keeper.deaths == 1
        assert keeper.worker_ids == {after.worker_id}
        done = await row(app, job, lambda job: job.is_final)
        assert (done.status, len(done.images)) == (JobStatus.SUCCEEDED, 1)

        # And beside it, on the worker that is warm now: no poll is waited for, in either direction.
        began = time.time()
        second = await row(app, await ask(app), lambda job: job.is_final)
        assert second.started_at
        assert second.started_at - began < 0.5
        assert time.time() - began < 5

        # A stop in the middle of a job puts it back and leaves nothing.
        third = await ask(app, steps=100_000)
        await row(app, third, lambda job: job.step > 0)
    assert workers() == []
    stopped = await app.jobs.get(third.id)
    assert (stopped.status, stopped.worker_id, stopped.attempts) == (JobStatus.QUEUED, None, 0)


@pytest.mark.slow
async def test_a_killed_workers_animation_is_painted_anew(app: App, settings: Settings) -> None:
    async with Supervisor(settings, app.jobs):
        ask = Ask(text="a red fox | a blue boat --steps 100 --seed 3", options={"expand": "off"})
        job = await animate_prompts(app, ask, Movement(frames=LEAST_FRAMES))
        await row(app, job, lambda job: job.step > 100)
        [process] = workers()
        process.kill()
        done = await row(app, job, lambda job: job.is_final)
    assert (done.status, done.attempts, done.step) == (JobStatus.SUCCEEDED, 2, 100 * LEAST_FRAMES)
    assert len(list(all_frames(app.images.open(done.images[0].sha256)))) == LEAST_FRAMES


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows neither sessions nor groups")
async def test_a_worker_shares_the_bots_session_but_not_its_process_group(app: App, settings: Settings) -> None:
    async with Supervisor(settings, app.jobs):
        await until(workers)
        [process] = workers()
        await until(lambda: process.nice() == NICE)
        assert (os.getsid(process.pid), os.getpgid(process.pid)) == (os.getsid(0), process.pid)
        process.send_signal(signal.SIGTTOU)  # output to a terminal whose foreground is another group
        assert process.status() != psutil.STATUS_STOPPED
        process.kill()


async def test_a_worker_that_was_launched_early_is_taken_over(app: App, settings: Settings) -> None:
    async with launched_early(settings) as early:
        [launched] = early
        async with Supervisor(settings, app.jobs, early=early) as keeper:
            await until(lambda: keeper.worker_ids)
            assert keeper.worker_ids == {launched.worker_id}
            assert [worker.pid for worker in workers()] == [launched.process.pid]
            launched.process.kill()
        assert early == []


async def test_a_worker_that_was_launched_early_ends_with_a_bot_that_cannot_start(app: App, settings: Settings) -> None:
    async with launched_early(settings):
        assert len(workers()) == 1
    assert workers() == []


@pytest.mark.slow
async def test_the_end_of_stdin_ends_a_worker_in_good_order(app: App, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "limner", "worker", "--id", "orphan"),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, **settings.environment()},
    )
    assert process.stdin
    assert process.stdout
    job = await ask(app, steps=100_000)
    assert await process.stdout.readline() in (ALIVE, CHANGED)
    await row(app, job, lambda job: job.step > 0)
    process.stdin.close()
    heard, _ = await asyncio.wait_for(process.communicate(), 20)
    assert set(heard.split()) <= {ALIVE.strip(), CHANGED.strip()}
    assert process.returncode == 0
    job = await app.jobs.get(job.id)
    assert (job.status, job.worker_id, job.attempts) == (JobStatus.QUEUED, None, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
async def test_a_worker_that_stands_alone_needs_no_stdin_and_stops_at_sigterm(app: App, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "limner", "worker"),
        stdin=DEVNULL,
        stdout=PIPE,
        env={**os.environ, **settings.environment()},
    )
    job = await row(app, await ask(app), lambda job: job.is_final)
    assert job.status == JobStatus.SUCCEEDED
    process.send_signal(signal.SIGTERM)
    printed, _ = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, printed) == (0, b"")


async def test_a_worker_that_dies_at_its_start_is_tried_again_ever_later(
    app: App, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    async with Supervisor(settings, app.jobs) as keeper:
        await until(lambda: keeper.deaths >= 2, 60)


async def test_workers_whose_setup_is_wrong_are_not_started_again(
    app: App, settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
    broken = settings.using(database_url=f"sqlite+aiosqlite:///{settings.data / 'none.db'}", device="cpu")
    async with Supervisor(broken, app.jobs) as keeper:
        with pytest.raises(SetupError, match="The workers cannot start; the reason is in the line above"):
            await asyncio.wait_for(keeper.wait(), 60)
        assert keeper.deaths == 1
        assert keeper.is_over
    assert workers() == []
    assert "limner migrate" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"LIMNER_DEVICE": "tpu"}, marks=pytest.mark.slow),
        pytest.param({"LIMNER_EXPANDER": "magic"}, marks=pytest.mark.slow),
        {"LIMNER_MAX_STEPS": "x"},
    ],
)
async def test_a_worker_alone_whose_setup_is_wrong_ends_with_a_code_of_its_own(
    app: App, settings: Settings, change: dict[str, str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "limner", "worker"),
        stdin=DEVNULL,
        stderr=PIPE,
        env={**os.environ, **settings.environment(), **change},
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == EXIT_SETUP
    assert b"limner: The setting `" + next(iter(change)).removeprefix("LIMNER_").lower().encode() in said
    assert b"Traceback" not in said
