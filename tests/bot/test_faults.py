"""Real worker processes that crash, hang, fall silent and lose their device, because a plugin's generator does."""

# pyright: reportUnknownVariableType=false
# safetensors' own annotations are incomplete

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.queue import leases
from limner.bot.queue.faults import (
    CRASHED,
    DEVICE_LOST,
    EXIT_DEVICE_LOST,
    EXIT_HUNG,
    HUNG,
    UNRESPONSIVE,
    WorkerBroken,
    WorkerFault,
    fault_of,
)
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker import supervisor
from limner.bot.worker.supervisor import Supervisor
from tests.discord_records import until
from tests.faulty_plugin import faulty_model, install
from tests.rows import asked
from tests.tiny_models import build_tiny_pipeline

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    install(plugin)
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(leases, "LOST_SECONDS", 0.1)
    models = {"faulty": str(faulty_model(tiny, tmp_path / "faulty"))}
    return settings.using(models=models, device="cpu", workers=1, max_steps=100_000, step_timeout=2, lease_seconds=1)


async def ask(app: App, text: str = "a red cat", **options: Any) -> Job:
    usual: dict[str, Any] = {"seed": 7, "steps": 3, "user_id": 1}
    return await submit.imagine(app, asked(text=text, **usual | options))


async def row(app: App, job: Job, what: Callable[[Job], Any] = lambda job: job.is_final, seconds: float = 240) -> Job:
    """The job's row as soon as it is like that."""
    async with asyncio.timeout(seconds):
        while not what(found := await app.jobs.get(job.id)):
            await app.jobs.changed.wait(0.05)
        return found


def test_exit_codes_tell_what_a_worker_died_of() -> None:
    assert WorkerBroken(HUNG).exit_code == EXIT_HUNG
    assert WorkerBroken(DEVICE_LOST).exit_code == EXIT_DEVICE_LOST
    assert (fault_of(EXIT_HUNG), fault_of(EXIT_DEVICE_LOST)) == (HUNG, DEVICE_LOST)
    assert fault_of(-11) is fault_of(1) is CRASHED
    assert fault_of(-9).code == "out_of_memory"
    assert HUNG.reason(3).startswith("Painting got stuck 3 times on this request, so it was given up;")
    assert CRASHED.reason(1).startswith("Painting crashed once on")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("idea", "fault", "attempts"),
    [
        ("a cat that segfaults", CRASHED, 3),
        ("a cat that hangs", HUNG, 2),
        ("a cat that hangs and holds everything", UNRESPONSIVE, 2),
    ],
)
async def test_a_poison_prompt_takes_its_worker_down_at_each_attempt_and_no_neighbour_with_it(
    settings: Settings, idea: str, fault: WorkerFault, attempts: int
) -> None:
    settings = settings.using(max_attempts=attempts)
    async with open_app(settings) as app:
        neighbours = [await ask(app, user_id=user) for user in (1, 2)]
        poison = await ask(app, idea, user_id=3)
        async with Supervisor(settings, app.jobs) as keeper:
            ended = await row(app, poison)
            assert (ended.status, ended.attempts) == (JobStatus.FAILED, attempts)
            assert (ended.reason_code, ended.reason) == (fault.code, fault.reason(attempts))
            for job in neighbours:
                done = await row(app, job)
                assert (done.status, len(done.images)) == (JobStatus.SUCCEEDED, 1)
            await until(lambda: keeper.deaths == attempts, 20, "its last worker ends")
    assert not any(path.suffix == ".part" for path in app.images.folder.rglob("*"))


@pytest.mark.slow
async def test_a_lost_device_costs_a_restart_and_an_attempt_but_no_job(app: App, settings: Settings) -> None:
    lost = [await ask(app, "a cat that loses its device", user_id=user) for user in (1, 2)]
    async with Supervisor(settings, app.jobs) as keeper:
        for job in lost:
            done = await row(app, job)
            assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 2)
        assert keeper.deaths == 1


@pytest.mark.slow
async def test_a_device_that_is_not_there_costs_no_job_an_attempt(app: App, settings: Settings) -> None:
    job = await ask(app)
    async with Supervisor(settings.using(device="cuda:7"), app.jobs) as keeper:
        await until(lambda: keeper.deaths >= 2, 60)
    waiting = await app.jobs.get(job.id)
    assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 0)


@pytest.mark.slow
async def test_a_model_that_computes_no_numbers_says_so_at_once(app: App, settings: Settings) -> None:
    weights = Path(settings.models["faulty"]) / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: torch.full_like(value, torch.nan) for name, value in load_file(weights).items()}, weights)
    job = await ask(app)
    async with Supervisor(settings, app.jobs) as keeper:
        ended = await row(app, job)
        assert (ended.status, ended.reason_code, ended.attempts) == (JobStatus.FAILED, "not_numbers", 1)
        assert keeper.deaths == 0


@pytest.mark.slow
async def test_another_machines_worker_takes_over_from_one_that_stands_still(app: App, settings: Settings) -> None:
    job = await ask(app, "a cat that is slow", steps=60)
    async with worker(settings, "first") as first:
        await row(app, job, lambda job: job.step > 0)
        async with worker(settings, "second"):
            first.send_signal(signal.SIGSTOP)
            taken = await row(app, job, lambda job: job.worker_id == "second")
            assert taken.attempts == 2
            done = await row(app, job)
            assert (done.status, len(done.images)) == (JobStatus.SUCCEEDED, 1)
            alive = {state.worker_id for state in await app.worker_registry.alive()}
            assert alive == {"second"}
            first.send_signal(signal.SIGCONT)
            async with asyncio.timeout(20):
                while len(await app.worker_registry.alive()) < 2:
                    await asyncio.sleep(0.05)
    assert (await app.jobs.get(job.id)).finished_at == done.finished_at
    assert await app.worker_registry.alive() == []


@pytest.mark.slow
async def test_two_devices_share_the_work_and_are_both_on_the_roster(app: App, settings: Settings) -> None:
    async with Supervisor(settings.using(device="cpu,cpu", max_batch=1), app.jobs) as keeper:
        async with asyncio.timeout(60):
            while len(await app.worker_registry.alive()) < 2:
                await asyncio.sleep(0.05)
        painting = [await ask(app, "a cat that is slow", steps=40, user_id=user) for user in (1, 2)]
        claimed = [await row(app, job, lambda job: job.worker_id) for job in painting]
        assert {job.worker_id for job in claimed} == keeper.worker_ids
        async with asyncio.timeout(60):
            while (
                len(states := await app.worker_registry.alive()) < 2
            ):  # one that loads on a busy machine may fall silent
                await asyncio.sleep(0.05)
        assert [(state.device, state.worker_id in keeper.worker_ids) for state in states] == [("cpu", True)] * 2
        for job in painting:
            assert (await row(app, job)).status == JobStatus.SUCCEEDED
        assert all(state.weights == ["faulty|"] for state in await app.worker_registry.alive())
    assert await app.worker_registry.alive() == []


@pytest.mark.slow
async def test_a_worker_that_still_imports_ends_as_soon_as_its_supervisor_does(app: App, settings: Settings) -> None:
    async with worker(settings, "early") as process:
        await until(lambda: len(psutil.Process(process.pid).threads()) > 2, 20, "it begins to import torch")
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert await process.stdout.read() == b""  # with its imports done it would have said that it is alive


@asynccontextmanager
async def worker(settings: Settings, worker_id: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A worker process as another machine's supervisor would run it; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "limner", "worker", "--id", worker_id),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, **settings.environment()},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            assert process.stdin
            process.stdin.close()
            await asyncio.wait_for(process.wait(), 20)
