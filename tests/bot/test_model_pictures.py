"""/models: what paints here, with the example pictures beside the models once a worker has classified them."""

import io
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.bot.model_pictures import ModelPictures
from limner.bot.settings import Settings
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.side_pictures import look_at_model_pictures
from tests.simulated_discord import World
from tests.tiny_models import build_tiny_pipeline


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "models"
    build_tiny_pipeline(folder / "mine")
    (folder / "mine" / "limner.json").write_text('{"title": "My_model", "trigger_words": "ink, line"}')
    for name in ("plain", "broken", "huge"):
        shutil.copytree(folder / "mine", folder / name)
    noise = np.random.default_rng(0).integers(0, 255, (800, 1200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "mine.preview.png")
    Image.new("RGB", (64, 64)).save(folder / "mine.jpg")  # comes second
    (folder / "broken.webp").write_bytes(b"RIFF")
    (folder / "huge.png").write_bytes(bytes(2**20))
    return settings.using(
        models={"doodle": "pretrained:doodle"}, models_dir=str(folder), device="cpu", max_input_bytes=6 * 2**20
    )


async def read_about(world: World, name: str) -> tuple[str, Image.Image | None]:
    result = await world.ada.slash(world.channel, "models", model=name)
    assert result.response
    assert result.ephemeral
    message: Any = result.response.message
    [embed] = message.embeds
    assert bool(embed.image.url) == bool(message.attachments)
    shown = Image.open(io.BytesIO(await message.attachments[0].read())) if message.attachments else None
    return str(embed.description), shown


async def test_a_picture_beside_a_model_is_shown_once_it_was_classified(
    world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.WARNING)
    app, settings = world.app, world.app.settings
    classifier = ClassifierThread(settings.using(safety_classifier="default"))
    facts = "My\\_model\n16x16\nreads tags\nwords: ink, line"
    assert await read_about(world, "mine") == (facts, None)
    for _ in range(4):
        await look_at_model_pictures(app, classifier)
    assert ModelPictures(settings).next_missing(settings.offered.values()) is None
    unusable = sorted(message for message in caplog.messages if message.startswith("model_picture_unusable"))
    assert unusable == [f"model_picture_unusable model={name} reason=BadPicture" for name in ("broken", "huge")]
    said, picture = await read_about(world, "mine")
    assert said == facts
    assert picture
    assert picture.size == (512, 341)
    for name in ("plain", "broken", "huge", "doodle"):
        assert (await read_about(world, name))[1] is None
    await world.app.guilds.change(world.guild.id, world.grace.id, explicit_limit=0.0)
    assert (await read_about(world, "mine"))[1] is None
    await world.app.guilds.change(world.guild.id, world.grace.id, explicit_limit=None)
    os.remove(tmp_path / "models" / "mine.preview.png")
    assert (await read_about(world, "mine"))[1] is None  # the other one is not looked at yet
    await look_at_model_pictures(app, classifier)
    _said, picture = await read_about(world, "mine")
    assert picture
    assert picture.size == (64, 64)
    classifier.close()


async def test_models_are_listed_with_what_they_are_like(world: World) -> None:
    result = await world.ada.slash(world.channel, "models")
    assert result.response
    [embed] = result.response.message.embeds
    lines = str(embed.description).splitlines()
    assert "**mine** · My\\_model · 16x16 · reads tags · words: ink, line" in lines
    assert len(lines) == 5
    result = await world.ada.slash(world.channel, "models", model="nobody")
    assert "That model is not offered here" in str(result.response and result.response.content)
