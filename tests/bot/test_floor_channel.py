"""The floor's hits in a channel of the operator's."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from limner.bot.moderation.floor_hits import MOST
from limner.bot.storage.tables.models import Job
from limner.bot.ui.review.floor_poster import RETRY_SECONDS, FloorPoster
from tests.bot.test_floor import BARE, CHILD
from tests.simulated_discord import World, text_of


async def refused_at(world: World, number: int, moment: float) -> None:
    """Requests that the floor refuses at this time."""
    last = await world.newest()
    for _ in range(number):
        await world.refused(f"{CHILD} {BARE}")
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id > last.id).values(finished_at=moment))


async def test_hits_are_listed_once_without_words_through_restarts_and_a_lost_channel(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.refused(f"{CHILD} {BARE}")  # before there was a channel
    channel = world.guild.create_text_channel("floor")
    world.settings = world.settings.using(floor_channel=channel.id)
    await world.restart()
    await FloorPoster(world.app, world.bot).look(time.time())

    await world.refused(f"{CHILD} {BARE}")
    minors = await world.newest()
    await world.ada.user.slash("imagine", prompt=f"emma watson, {BARE}")
    person = await world.newest()
    await world.app.filters.add(world.guild.id, "cow", world.grace.id)
    await world.refused("a cow")
    await world.restart()
    poster, later = FloorPoster(world.app, world.bot), time.time() + 60
    await poster.look(time.time())  # too soon
    assert channel.history() == []
    await poster.look(later)
    await poster.look(later + 15)
    [message] = channel.history()
    here = f"<@{world.ada.id}> in Studio, <#{world.channel.id}>"
    assert text_of(message).splitlines() == [
        "**The floor refused 2 requests.**",
        f"<t:{minors.created_at:.0f}:f> · sexual content with minors · {here} · request {minors.id}",
        f"<t:{person.created_at:.0f}:f> · sexual content with a real person · <@{world.ada.id}> in direct messages · "
        f"request {person.id}",
    ]

    await refused_at(world, MOST + 2, later)
    await poster.look(later + 60)
    [last, _first] = sorted(channel.history(), key=lambda one: -one.id)
    lines = text_of(last).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("**The floor refused 12 requests.**", "… and 2 more", MOST + 2)

    await refused_at(world, 1, later + 60)
    world.env.backend.delete_channel(channel.id)
    for seconds in (120, 135, 120 + RETRY_SECONDS):
        await poster.look(later + seconds)
    assert caplog.text.count("floor_channel_failed code=10003") == 2
    due = await world.app.floor_hits.due(channel.id, later + 600)
    assert due
    assert due.number == 1


async def test_a_message_is_the_same_until_it_counts_as_posted(world: World) -> None:
    """So a bot that is killed after it has posted, or another one, sends what Discord knows by its nonce."""
    await world.refused(f"{CHILD} {BARE}")  # before there was a channel
    hits, now = world.app.floor_hits, time.time()
    assert await hits.due(1, now) is None
    for seconds in (10, 20, 40):
        await refused_at(world, 1, now + seconds)
    first = await hits.due(1, now + 100)
    assert first
    assert (len(first.jobs), first.number, first.since, first.until) == (2, 2, now, now + 25)
    again = await hits.due(1, now + 5000)
    assert again
    assert ([job.id for job in again.jobs], again.until) == ([job.id for job in first.jobs], first.until)
    await hits.posted(1, first.until)
    second = await hits.due(1, now + 100)
    assert second
    assert (second.number, second.since) == (1, now + 25)
    await hits.posted(1, second.until)
    await hits.posted(1, first.until)  # the other bot's answer came late
    assert await hits.due(1, now + 100) is None
