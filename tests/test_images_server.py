"""executor = "openai": an idea becomes a picture by an images server, through a real worker process without torch."""

import io
from collections.abc import AsyncGenerator

import psutil
import pytest
from PIL import Image

from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from tests.images_server import PaintingServer, error, open_painting_server
from tests.simulated_discord import World, text_of


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        server.key = "sesame"
        yield server


@pytest.fixture
def settings(settings: Settings, server: PaintingServer) -> Settings:
    return settings.using(
        executor="openai",
        images_url=server.address,
        images_api_key="sesame",
        models={"flux": "org/flux@64x48:8:3.5"},
        workers=1,
    )


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "worker" in child.cmdline()]


@pytest.mark.slow
async def test_an_idea_becomes_a_servers_picture(world: World, server: PaintingServer) -> None:
    job = await world.delivered(await world.imagine("a red fox --seed 300 --count 2 --no hats"), seconds=40)

    assert (job.status, [image.seed for image in job.images]) == (JobStatus.SUCCEEDED, [300, 301])
    attachments = world.message(job).attachments
    pictures = [Image.open(io.BytesIO(await attachment.read())) for attachment in attachments]
    assert [(picture.size, picture.getpixel((0, 0))) for picture in pictures] == [
        ((64, 48), (44, 1, 0)),
        ((64, 48), (45, 1, 0)),
    ]
    assert {(body["model"], body["negative_prompt"], body["num_inference_steps"]) for body in server.asked} == {
        ("org/flux", "hats", 8)
    }
    [worker] = workers()
    assert not [file.path for file in worker.memory_maps() if "libtorch" in file.path]

    server.refuse = lambda _: error(400, "Your request was rejected by our safety system.", code="moderation_blocked")
    job = await world.delivered(await world.imagine("a blue fox"), seconds=40)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert "does not allow this picture; change your words" in text_of(world.message(job))
