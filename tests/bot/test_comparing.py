"""A/B: a question under some results of members who let models be trained, and what becomes of the answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from limner.bot.app import open_app
from limner.bot.cli.preferences import print_preferences
from limner.bot.errors import NotYours, SetupError
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.rating_tables import Preference
from limner.bot.ui.controls import parts_of
from limner.bot.ui.job.comparing import NOT_KEPT, is_compared
from limner.bot.worker.process import image_text_loader, look_by, open_scoring
from limner.generators.vision.preferences import Reward
from tests.other_clients import told
from tests.simulated_discord import World


def asked(world: World, job: Job) -> list[str]:
    """The ids of the two buttons under a result."""
    names = [getattr(part, "custom_id", "") or "" for part in parts_of(world.message(job))]
    return [name for name in names if name.startswith("limner:prefer:")]


async def two(world: World) -> Job:
    """A request with two pictures, posted."""
    job = await world.imagine("a red fox", count=2)
    await world.finish(await world.claim(), count=2)
    return await world.delivered(job)


async def count(world: World) -> int:
    async with world.app.database.read() as session:
        return await session.scalar(select(func.count()).select_from(Preference)) or 0


async def test_who_lets_models_be_trained_is_asked_and_one_tap_answers(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def lines() -> list[dict[str, object]]:
        await print_preferences(world.settings, None)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    await world.app.guilds.change(world.guild.id, world.grace.id, compared_share=100)
    assert asked(world, await two(world)) == []
    await world.ada.slash(world.channel, "ratings", training="on")
    assert asked(world, await world.painted()) == []
    job = await two(world)
    message, [first, second] = world.message(job), asked(world, job)
    await world.restart()
    for button in (first, second, second):
        answer = await world.ada.click(message, custom_id=button)
    better, worse = second.split(":")[2:4]
    assert told(answer) == (
        f"You prefer picture {better} of request {job.id} to picture {worse}; that may train models."
    )
    assert told(await world.bob.click(message, custom_id=first)) == str(NotYours())
    [line] = await lines()
    images = {str(image.position + 1): image.sha256 for image in job.images}
    files = [str(world.app.images.path(images[number]).resolve()) for number in (better, worse)]
    assert [line[name] for name in ("id", "idea", "member", "better", "worse")] == [job.id, "a red fox", 1, *files]

    assert answer.response
    await world.ada.click(answer.response, label="Take it back")
    assert await count(world) == 0
    await world.ada.click(message, custom_id=first)
    await world.ada.slash(world.channel, "ratings", training="off")
    assert await lines() == []
    assert told(await world.ada.click(message, custom_id=second)) == NOT_KEPT
    await world.delete(job)
    assert await count(world) == 0


async def test_a_share_of_the_results_is_asked_about(world: World, settings: Settings) -> None:
    await world.app.ratings.choose(world.ada.id, is_shown=False, is_training=True)
    job = await two(world)

    async def share(settings: Settings, chosen: int | None) -> float:
        async with open_app(settings) as app:
            await app.guilds.change(world.guild.id, world.grace.id, compared_share=chosen)
            found: list[bool] = []
            for number in range(400):
                job.id = number
                found.append(await is_compared(app, job))
            return sum(found) / len(found)

    assert await share(settings, None) == 0
    assert 0.06 < await share(settings.using(compared_share=10), None) < 0.14
    assert 0.2 < await share(settings.using(compared_share=10), 25) < 0.3
    assert await share(settings.using(compared_share=10), 0) == 0


async def test_candidates_are_chosen_by_what_people_like(settings: Settings, tmp_path: Path) -> None:
    """A reward that likes what is far from the words keeps the other picture; one that is not there is named.

    The same image-text model compares frames of animations.
    """
    settings = settings.using(image_text_model="pretrained:image-text")
    images = [Image.new("RGB", (32, 32), colour) for colour in ("white", "black")]
    load = image_text_loader(settings)
    assert load() is load()
    white, larger, black = map(look_by(load), (images[0], images[0].resize((1100, 600)), images[1]))
    assert math.dist(white, larger) < math.dist(white, black) / 10
    scoring = open_scoring(settings, load)
    [first, second] = await scoring.choose(images, [1, 2], 2, "a red fox")
    width = len((await scoring.features(images[:1]))[0])
    scoring.close()
    Reward(np.array([0.0] * width + [-1.0])).save(tmp_path / "liked")

    scoring = open_scoring(settings.using(preference_model=str(tmp_path / "liked")))
    chosen = await scoring.choose(images, [1, 2], 1, "a red fox")
    scoring.close()
    assert [one.seed for one in chosen] == [second.seed]
    assert first.nearness is not None
    assert first.nearness > (chosen[0].nearness or 0)
    with pytest.raises(SetupError, match="names no folder that `limner train preferences` has made"):
        settings.using(preference_model=str(tmp_path)).check()
