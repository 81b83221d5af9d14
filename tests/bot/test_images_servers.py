"""What the operator says of a server's model decides before the queue, and what a request of it reaches the server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.app import App, open_app
from limner.bot.errors import BadOption
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import SERVERS
from limner.bot.storage.tables.models import Job
from tests.bot.test_negative_prompts import ask, painted
from tests.images_server import PaintingServer, open_painting_server
from tests.simulated_discord import png


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        yield server


def say(settings: Settings, model: str, **said: Any) -> None:
    """Write the limner.json of a server's model."""
    folder = settings.data / SERVERS / model
    folder.mkdir(parents=True)
    (folder / "limner.json").write_text(json.dumps(said))


@pytest.fixture
async def remote(settings: Settings, server: PaintingServer) -> AsyncGenerator[App]:
    """The model ``edit`` has a server of its own."""
    loras = {"ink": "/srv/ink", "oil": "/srv/oil"}
    say(settings, "edit", starts=True, masks=True, references=True, loras=loras, images_url=server.address)
    models = {"edit": "org/edit@64x48:8:3.5", "words": "org/words@64x48:8:3.5"}
    more: dict[str, Any] = {"executor": "openai", "images_url": "http://127.0.0.1:9/v1", "images_timeout": 0.5}
    async with open_app(settings.using(**more, models=models)) as app:
        yield app


async def test_pictures_and_loras_reach_a_server_that_takes_them(remote: App, server: PaintingServer):
    image, other = [await remote.inputs.store(png((64, 48), shade)) for shade in (9, 90)]
    job = await painted(remote, await ask(remote, image=image, cref=other, lora="ink:0.5", strength=0.6))

    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
    assert [(name, sent.size) for name, sent in server.files[0]] == [("image[]", (64, 48))] * 2
    assert json.loads(server.asked[0]["lora"]) == {"name": "ink", "path": "/srv/ink", "scale": 0.5}


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        ("words", {"image": "0" * 64}, "cannot start from a picture"),
        ("words", {"cref": "0" * 64}, "has no adapter for such references"),
        ("words", {"lora": "ink"}, "takes no LoRA"),
        ("edit", {"sref": "0" * 64}, "has no adapter for such references"),
        ("edit", {"cref": "0" * 64, "cw": 0.3}, "weighs no references"),
        ("edit", {"cref": "0" * 64, "cmask": "1" * 64}, "weighs no references"),
        ("edit", {"lora": "ink, oil"}, "takes one LoRA at a time"),
        ("edit", {"lora": "water"}, "has no LoRA of that name"),
    ],
)
async def test_what_it_does_not_take_is_refused_before_the_queue(
    remote: App, server: PaintingServer, model: str, options: dict[str, Any], sentence: str
):
    with pytest.raises(BadOption, match=sentence):
        await ask(remote, model=model, **options)
    assert server.asked == []


async def test_a_server_that_is_down_costs_no_attempt_and_no_other_model(remote: App):
    app = remote
    async with open_painting_server() as gone:
        port = int(gone.address.split(":")[2].removesuffix("/v1"))
    say(app.settings, "far", images_url=gone.address)
    models = app.settings.models | {"far": "org/far@64x48:8:3.5"}
    async with open_app(app.settings.using(models=models, max_attempts=1)) as app:
        far, near = await ask(app, model="far"), await ask(app, model="edit")
        near = await painted(app, near)
        far = await app.jobs.get(far.id)
        assert (near.status, far.status, far.attempts) == (JobStatus.SUCCEEDED, JobStatus.QUEUED, 0)
        assert far.not_before > time.time()

        async with app.database.begin() as session:
            await session.execute(update(Job).where(Job.id == far.id).values(not_before=0.0))
        async with open_painting_server(port):
            far = await painted(app, far)
        assert (far.status, far.attempts) == (JobStatus.SUCCEEDED, 1)
