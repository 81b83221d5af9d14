"""Ratings: two faces for who wants them, one rating a request, and training data only of members who allow it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select, update

from limner.bot.cli.ratings import print_ratings
from limner.bot.errors import NotYours
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.rating_tables import Rating
from limner.bot.ui.controls import parts_of
from tests.other_clients import told
from tests.simulated_discord import World


def has_faces(world: World, job: Job) -> bool:
    names = [getattr(part, "custom_id", "") or "" for part in parts_of(world.message(job))]
    return f"limner:rate:good:{job.id}" in names


async def count(world: World) -> int:
    async with world.app.database.read() as session:
        return await session.scalar(select(func.count()).select_from(Rating)) or 0


async def test_faces_are_shown_to_who_wants_them_and_one_tap_rates(world: World) -> None:
    assert not has_faces(world, await world.painted())
    answer = await world.ada.slash(world.channel, "ratings", faces="on")
    assert told(answer) == "Your new results have two faces, to say what you think of them. Your ratings train nothing."
    job = await world.painted()
    message = world.message(job)
    assert has_faces(world, job)
    assert not has_faces(world, await world.painted(who=world.bob))
    await world.restart()
    for verb in ("good", "bad", "bad"):
        answer = await world.ada.click(message, custom_id=f"limner:rate:{verb}:{job.id}")
    assert told(answer).startswith(f"You do not like request {job.id}. You alone see that;")
    assert await count(world) == 1
    assert told(await world.bob.click(message, custom_id=f"limner:rate:good:{job.id}")) == str(NotYours())
    assert answer.response
    await world.ada.click(answer.response, label="Take it back")
    assert await count(world) == 0
    await world.ada.click(message, custom_id=f"limner:rate:good:{job.id}")
    await world.delete(job)
    assert await count(world) == 0


async def test_only_members_who_allow_it_train_models(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async def lines() -> list[dict[str, object]]:
        await print_ratings(world.settings, None)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    mine, private, bobs = [await world.painted(who=who) for who in (world.ada, world.ada, world.bob)]
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == private.id).values(is_private=True))
    for job in (mine, private, bobs):
        await world.app.ratings.rate(job, is_good=True)
    assert await lines() == []
    answer = await world.ada.slash(world.channel, "ratings", training="on")
    assert told(answer) == (
        "Your results have no faces; `/ratings faces:on` adds them. "
        "Your ratings may train models, with your words and pictures, except of private requests."
    )
    [line] = await lines()
    assert (line["id"], line["idea"], line["good"]) == (mine.id, "a red fox", True)
    assert line["files"] == [str(world.app.images.path(mine.images[0].sha256).resolve())]
    await world.ada.slash(world.channel, "ratings", training="off")
    assert await lines() == []
