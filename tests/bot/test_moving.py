"""Move: a moderator takes pictures to an age-restricted channel, where they go on as before."""

from __future__ import annotations

import discord
import pytest
import simcord

from limner.bot.errors import NotYours
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import AnswerToken, Job
from tests.other_clients import told
from tests.rows import seen
from tests.simulated_discord import World, labels, text_of


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.using(explicit_limit=0.3, explicit_limit_restricted=0.7)


async def painted(world: World, score: float = 0.1) -> Job:
    await world.imagine(count=2)
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed, count=2, look=seen(score=score))
    return await world.delivered(claimed)


async def offered(world: World, job: Job, who: simcord.MemberActor) -> simcord.InteractionResult:
    """Press a picture's number and Move."""
    shown = await who.click(world.message(job), label="1")
    assert shown.response
    return await who.click(shown.response, label="Move")


def restrict(world: World, channel: simcord.ChannelHandle) -> None:
    """Discord tells the bot that a channel is age-restricted (SimCord cannot)."""
    known = world.bot.get_channel(channel.id)
    assert isinstance(known, discord.TextChannel)
    known.nsfw = True


async def choose(
    world: World, shown: simcord.InteractionResult, channel: simcord.ChannelHandle
) -> simcord.InteractionResult:
    assert shown.response
    return await world.grace.select(shown.response, [channel])


async def test_a_moderator_moves_a_request_whose_buttons_go_on_there(world: World) -> None:
    adults = world.guild.create_text_channel("adults")
    job = await painted(world)
    old = world.message(job)
    for who in (world.ada, world.bob):
        shown = await who.click(old, label="1")
        assert shown.response
        assert "Move" not in labels(shown.response.message)
    shown, twice = await offered(world, job, world.grace), await offered(world, job, world.grace)
    await world.restart()
    restrict(world, adults)
    assert told(await choose(world, shown, world.channel)) == "#studio is not age-restricted; choose a channel that is."
    answer = await choose(world, shown, adults)
    assert answer.response
    assert f"<#{adults.id}>" in answer.response.content
    async with world.app.database.begin() as session:
        assert (await session.scalars(AnswerToken.__table__.select())).all() == []
    assert told(await choose(world, twice, adults)) == str(NotYours())
    moved = await world.delivered(job)
    assert (moved.channel_id, moved.is_age_restricted, moved.user_id) == (adults.id, True, world.ada.id)
    assert old.id not in [message.id for message in world.channel.history()]
    [message] = [message for message in adults.history() if message.id == moved.message_id]
    assert len(message.attachments) == 2
    assert "a red fox" in text_of(message)
    shown = await world.bob.click(message, label="2")
    assert shown.response
    await world.bob.click(shown.response, label="Upscale 2x")
    assert ((await world.newest()).parent_id, (await world.newest()).channel_id) == (job.id, adults.id)


async def test_what_is_too_explicit_there_too_stays(world: World) -> None:
    adults = world.guild.create_text_channel("adults")
    restrict(world, adults)
    job = await painted(world)
    shown = await offered(world, job, world.grace)
    await world.app.guilds.change(world.guild.id, world.grace.id, explicit_limit=0.05, explicit_limit_restricted=0.05)
    assert told(await choose(world, shown, adults)).startswith("These pictures are not allowed in #adults either")
    assert (await world.app.jobs.get(job.id)).channel_id == world.channel.id


async def test_only_one_of_two_moves_counts_and_the_bot_must_be_able_to_post(world: World) -> None:
    closed = world.guild.create_text_channel(
        "closed", overwrites={world.guild.default_role: discord.PermissionOverwrite(send_messages=False)}
    )
    restrict(world, closed)
    job = await painted(world)
    shown = await offered(world, job, world.grace)
    assert (
        told(await choose(world, shown, closed)) == "You may not write in #closed; choose a channel in which you may."
    )
    where = (await world.app.jobs.get(job.id)).where
    assert await world.app.outbox.move(job.id, world.channel.id, where)
    assert not await world.app.outbox.move(job.id, closed.id, where)
