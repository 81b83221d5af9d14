"""Restyle: finished pictures changed by a model that changes pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from tests.rows import put_restyler
from tests.simulated_discord import World, labels, offered


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """With a model that makes ink drawings of pictures; the models beside it are doodle alone, or the parameter."""
    models = getattr(request, "param", settings.models)
    return settings.using(models={**models, "ink": put_restyler(tmp_path / "ink", title="ink drawings")})


async def painted(world: World, count: int) -> Job:
    await world.imagine("a red fox", style="noir", count=count)
    await world.finish(await world.claim(), count=count, size=(18, 24))
    return await world.delivered(await world.newest())


async def test_the_only_picture_is_changed_by_the_only_model_at_once(world: World) -> None:
    first = await painted(world, 1)
    result = await world.ada.click(world.message(first), label="Restyle")
    assert not result.ephemeral
    job = await world.newest()
    assert job.id != first.id
    request = job.generation
    assert (request.model, request.init_image, request.strength) == ("ink", first.images[0].sha256, None)
    assert (request.width, request.height, request.num_images_per_prompt) == (16, 24, 1)
    assert (job.idea, job.style, job.expand, job.input_name) == ("a red fox", "", "off", f"{first.id}-1.png")
    assert (job.parent_id, job.user_id, job.channel_id) == (first.id, first.user_id, first.channel_id)


@pytest.mark.parametrize("settings", [Settings().models], indirect=True)
async def test_one_of_several_pictures_is_chosen_in_private_among_the_styles_that_ship_too(world: World) -> None:
    first = await painted(world, 2)
    await world.restart()
    shown = await world.ada.click(world.message(first), label="Restyle")
    assert shown.ephemeral
    assert shown.response
    models = ("line-art", "watercolour", "ink")
    assert offered(shown.response.message) == [f"{number}:{model}" for number in (1, 2) for model in models]
    await world.ada.select(shown.response.message, ["2:ink"], custom_id=f"limner:restyled:{first.id}:0")
    job = await world.newest()
    assert job.generation.init_image == first.images[1].sha256 != first.images[0].sha256
    assert "Restyle" not in labels(world.message(job))


async def test_only_the_asker_changes_a_picture(world: World) -> None:
    first = await painted(world, 1)
    result = await world.bob.click(world.message(first), label="Restyle")
    assert result.ephemeral
    assert result.response
    assert result.response.content.startswith("Only the person")
    assert (await world.newest()).id == first.id


async def test_a_picture_that_waits_for_a_moderator_is_not_changed(world: World) -> None:
    first = await painted(world, 1)
    message = world.message(first)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == first.id).values(quarantine="flagged"))
    result = await world.ada.click(message, label="Restyle")
    assert result.ephemeral
    assert result.response
    assert "not posted yet" in result.response.content
    assert (await world.newest()).id == first.id


async def test_such_a_model_needs_a_picture(world: World) -> None:
    told = await world.refused(model="ink")
    assert told == "The model ink changes pictures; give it one with the option image."
