"""Workers on other machines: started by hand on the same Postgres database, beside a bot that starts none."""

import asyncio
import hashlib
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from limner.bot.app import App, open_app
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker.worker import POLL_SECONDS
from tests.discord_records import CHANNEL, until
from tests.discord_server import DiscordServer
from tests.images_server import PaintingServer, open_painting_server
from tests.studio import Studio, open_studio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ADA = 7


@dataclass
class Scene:
    """A bot on Discord without workers of its own, and a third process's look at its database."""

    studio: Studio
    server: DiscordServer
    painter: PaintingServer
    app: App

    async def ask(self, seed: int) -> Job:
        """Type /imagine; the row that it made."""
        await self.server.slash(ADA, CHANNEL, "imagine", prompt="a red cat", seed=seed)
        [job] = await self.app.history.page(None, every_status=True, limit=1)
        return job

    async def row(self, job: Job, **what: Any) -> Job:
        """The row as soon as it has these values."""
        async with asyncio.timeout(60):
            while {name: getattr(found := await self.app.jobs.get(job.id), name) for name in what} != what:
                await asyncio.sleep(0.02)
        return found

    async def delivered(self, job: Job) -> Job:
        async with asyncio.timeout(60):
            while not (found := await self.app.jobs.get(job.id)).delivered_at:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def scene(tmp_path: Path, postgres_url: str) -> AsyncGenerator[Scene]:
    async with open_painting_server() as painter, DiscordServer().open() as server:
        settings = {"executor": "openai", "images_url": painter.address, "models": "flux=org/flux@64x48"}
        settings |= {"database_url": postgres_url, "workers": 0, "expander": "off", "lease_seconds": 2}
        studio = open_studio(tmp_path / "data", server, **settings)
        async with studio as studio, open_app(Settings(data=studio.folder, database_url=postgres_url)) as app:
            await studio.start()
            yield Scene(studio, server, painter, app)


def family(process: Process) -> list[psutil.Process]:
    """A process and all that it has started."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


async def test_a_worker_elsewhere_hears_at_once_and_another_takes_over_when_it_dies(scene: Scene) -> None:
    assert scene.studio.workers() == []
    first = await scene.studio.run("worker")
    job = await scene.delivered(await scene.ask(seed=1))
    image = hashlib.sha256(scene.server.visible()[0].files[0].data).hexdigest()
    assert [image] == [found.sha256 for found in job.images]

    # Postgres wakes it: the poll would take half of POLL_SECONDS in the middle.
    waits: list[float] = []
    for seed in (2, 3, 4, 5):
        job = await scene.delivered(await scene.ask(seed))
        assert job.started_at
        waits.append(job.started_at - job.created_at)
    assert max(waits) < POLL_SECONDS / 4, waits

    # kill -9 in the middle: whoever is there takes the job when the lease has ended.
    scene.painter.free.clear()
    job = await scene.row(await scene.ask(seed=6), status=JobStatus.RUNNING)
    await until(lambda: len(scene.painter.asked) == 6, 20, "it is being painted")
    killed = job.worker_id
    await scene.studio.run("worker")
    await until(lambda: len(scene.studio.workers()) > len(family(first)), 20, "another worker starts")
    for process in family(first):
        process.kill()
    scene.painter.free.set()
    job = await scene.delivered(job)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
    assert job.worker_id != killed
    assert len(scene.server.visible()) == 6
    assert all(post.files for post in scene.server.visible())
