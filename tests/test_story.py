"""The main job: an idea typed into /imagine comes back as a picture, painted by a real worker process."""

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from tests.simulated_discord import World, labels
from tests.tiny_models import SIDE, build_tiny_pipeline


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """One worker, and a real diffusers pipeline of 1 MB."""
    folder = build_tiny_pipeline(tmp_path / "tiny")
    return settings.using(models={"tiny": f"{folder}@{SIDE}x{SIDE}"}, workers=1, device="cpu")


@pytest.mark.timeout(180)
async def test_an_idea_becomes_a_picture(world: World) -> None:
    job = await world.imagine("a red fox in the snow --seed 7 --count 2", steps=4)
    assert world.message(job).content == "**a red fox in the snow**\n-# queued · next in line"

    job = await world.delivered(job, seconds=80)
    message = world.message(job)
    asked, unread, facts = message.content.split("\n")
    assert asked == "**a red fox in the snow**"
    assert unread == "-# Not read, there is room for no more: snow"
    assert facts.startswith("-# seeds 7 to 8 · tiny · ")
    assert labels(message) == ["Reroll", "Remix", "Upscale", "Details", "Delete"]
    assert [attachment.description for attachment in message.attachments] == ["a red fox in the snow"] * 2
    assert len(world.channel.history()) == 1

    assert (job.status, job.user_id, job.attempts, job.step) == (JobStatus.SUCCEEDED, world.ada.id, 1, 4)
    assert [image.seed for image in job.images] == [7, 8]
    for attachment, image in zip(message.attachments, job.images, strict=True):
        data = await attachment.read()
        assert hashlib.sha256(data).hexdigest() == image.sha256
        assert data == world.app.images.path(image.sha256).read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == (SIDE, SIDE)
            assert picture.info["parameters"].startswith("a red fox in the snow\n")
    assert [found.id for found in await world.app.history.page(world.ada.id, search="fox snow")] == [job.id]

    await world.ada.click(message, label="Reroll")
    again = await world.delivered(await world.newest(), seconds=80)
    assert (again.parent_id, len(world.message(again).attachments)) == (job.id, 2)
    assert {image.sha256 for image in again.images}.isdisjoint(image.sha256 for image in job.images)

    await world.delete(again)
    assert [found.id for found in await world.app.history.page(world.ada.id)] == [job.id]
