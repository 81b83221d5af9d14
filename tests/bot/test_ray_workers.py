"""executor = "ray": the same worker as actors on a real Ray cluster of two nodes, killed, moved, and stopped."""

import asyncio
import importlib.util
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import SetupError
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker.ray_pool import RayWorkers
from tests.discord_records import CHANNEL, until
from tests.discord_server import DiscordServer
from tests.rows import asked
from tests.studio import open_studio
from tests.tiny_models import build_tiny_pipeline

pytestmark = pytest.mark.timeout(240)  # Ray starts ten processes, and two cores may be busy


class Cluster:
    """A head node and a second node with room for one worker each, as processes on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self._second: Any = self._cluster.add_node(num_cpus=1)
        self.address: str = self._cluster.address

    def replace_second(self) -> None:
        """The second node is lost, when there is a third one."""
        self._cluster.add_node(num_cpus=1)
        self._cluster.remove_node(self._second, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Generator[Cluster]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(
        executor="ray", models={"tiny": str(tiny)}, device="cpu", max_steps=100_000, max_batch=1, workers=2
    )


async def ask(app: App, **options: Any) -> Job:
    usual: dict[str, Any] = {"text": "a red cat", "seed": 7, "steps": 3}
    return await submit.imagine(app, asked(**usual | options))


async def row(app: App, job: Job, what: Callable[[Job], Any], seconds: float = 60) -> Job:
    async with asyncio.timeout(seconds):
        while not what(found := await app.jobs.get(job.id)):
            await app.jobs.changed.wait(0.05)
        return found


def process(worker_id: str | None) -> psutil.Process:
    """The process of a worker, whose name tells its number."""
    assert worker_id
    return psutil.Process(int(worker_id.split("-")[-2]))


def nodes(workers: RayWorkers) -> set[int]:
    """The raylets, of which each node has one, that the workers' processes are children of."""
    return {process(worker_id).ppid() for worker_id in workers.worker_ids}


def ray_processes() -> list[str]:
    names = [child.name() for child in psutil.Process().children(recursive=True)]
    return [name for name in names if "ray" in name or "gcs_server" in name]


@pytest.mark.slow
async def test_two_actors_on_two_nodes_survive_kill_and_the_loss_of_a_node(
    app: App, settings: Settings, cluster: Cluster
) -> None:
    import ray

    async with RayWorkers(settings.using(ray_address=cluster.address), app.jobs) as workers:
        await until(lambda: len(workers.worker_ids) == 2, 40, "both are placed")
        assert len(nodes(workers)) == 2
        done = await row(app, await ask(app), lambda job: job.is_final)
        assert (done.status, len(done.images)) == (JobStatus.SUCCEEDED, 1)

        # kill -9: Ray starts it again, and its job is finished.
        job = await ask(app, steps=150)
        before = await row(app, job, lambda job: job.step > 0)
        process(before.worker_id).kill()
        done = await row(app, job, lambda job: job.is_final)
        assert (done.status, done.attempts, workers.deaths) == (JobStatus.SUCCEEDED, 2, 1)
        await until(lambda: len(workers.worker_ids - {before.worker_id or ""}) == 2, 60, "Ray has started it again")

        # A node is lost: its worker comes back on another one, and both paint.
        here, there = sorted(nodes(workers))
        cluster.replace_second()
        await until(lambda: len(workers.worker_ids) == 1, 60, "its worker is missed")
        await until(lambda: len(workers.worker_ids) == 2, 60, "it is placed again")
        assert len(nodes(workers) & {here, there}) == 1
        jobs = [await ask(app, seed=seed, steps=100) for seed in (1, 2)]
        finals = [await row(app, job, lambda job: job.is_final) for job in jobs]
        assert [job.status for job in finals] == [JobStatus.SUCCEEDED] * 2
        assert len(nodes(workers)) == 2
        left = [process(worker_id) for worker_id in workers.worker_ids]
    assert psutil.wait_procs(left, timeout=10)[1] == []
    assert not ray.is_initialized()


@pytest.mark.slow
async def test_ray_on_this_machine_hears_at_once_and_leaves_no_process(app: App, settings: Settings) -> None:
    async with RayWorkers(settings.using(workers=1), app.jobs) as workers:
        await row(app, await ask(app), lambda job: job.is_final)  # and it is warm now
        job = await row(app, await ask(app), lambda job: job.is_final)
        assert job.started_at
        assert job.started_at - job.created_at < 0.5
        # Stopped in the middle of a job: it waits again, and has not lost an attempt.
        job = await row(app, await ask(app, steps=10_000), lambda job: job.step > 0)
        assert {job.worker_id} == workers.worker_ids
        assert ray_processes()
    job = await app.jobs.get(job.id)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    await until(lambda: not ray_processes(), 10, "Ray's processes end")


@pytest.mark.slow
async def test_an_actor_whose_setup_is_wrong_is_not_started_again(app: App, settings: Settings) -> None:
    async with RayWorkers(settings.using(workers=1, expander="magic"), app.jobs) as workers:
        with pytest.raises(SetupError, match="The workers cannot start"):
            await asyncio.wait_for(workers.wait(), 60)
        assert workers.is_over
        assert (workers.deaths, workers.worker_ids) == (0, set())
    assert not ray_processes()


async def test_a_cluster_that_is_not_there_is_told_in_one_sentence(app: App, settings: Settings) -> None:
    with pytest.raises(SetupError, match="no Ray cluster"):
        await RayWorkers(settings.using(ray_address="127.0.0.1:9"), app.jobs).start()


async def test_without_ray_it_says_what_to_install(
    app: App, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", dict[str, Any]().get)
    with pytest.raises(SetupError, match="pip install"):
        await RayWorkers(settings, app.jobs).start()


@pytest.mark.slow
async def test_the_whole_bot_on_ray_is_killed_and_answers_once(tmp_path: Path, tiny: Path) -> None:
    settings = {"executor": "ray", "models": f"tiny={tiny}", "device": "cpu", "expander": "off", "lease_seconds": 2}
    async with DiscordServer().open() as server, open_studio(tmp_path / "data", server, **settings) as studio:
        bot = await studio.start()
        await server.slash(7, CHANNEL, "imagine", prompt="a red cat", seed=7, steps=40)
        await until(lambda: any(row["step"] for row in studio.rows()), 100, "an actor paints")
        names = {"raylet", "gcs_server", "ray::RayWorker"}
        started = [child for child in psutil.Process(bot.pid).children(recursive=True) if child.name() in names]
        assert {child.name() for child in started} == names
        bot.kill()
        assert psutil.wait_procs(started, timeout=30)[1] == []  # Ray's agents take half a minute longer

        await studio.start()
        await until(lambda: all(row["delivered_at"] for row in studio.rows()), 100, "it is answered")
        [post], [job] = server.visible(), studio.rows()
        assert (job["status"], len(post.files)) == ("succeeded", 1)
