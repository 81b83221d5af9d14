"""The gallery channel: what enough members starred is posted once, and goes when it is not public any more."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord
from sqlalchemy import select, text

from limner.bot.cogs.pictures import NO_GALLERY
from limner.bot.reasons import HoldReason, ImageVerdict
from limner.bot.storage.tables.gallery_tables import GalleryPost
from limner.bot.storage.tables.models import Image, Job
from limner.bot.ui.delivery.gallery_channel import GalleryPoster
from limner.bot.ui.interactions import OWNERS_ONLY
from tests.reviewing import show_to
from tests.simulated_discord import World, labels

STARS = 2


@pytest.fixture
async def channel(world: World) -> Any:
    """The gallery channel of the server, chosen by its command."""
    channel = world.guild.create_text_channel("gallery")
    told = await world.grace.slash(world.channel, "pictures gallery", channel=channel, stars=STARS)
    assert told.response
    assert (
        f"at least {STARS} members have among their favourites are posted in <#{channel.id}>" in told.response.content
    )
    return channel


async def star(world: World, job: Job, *members: simcord.MemberActor) -> None:
    for who in members or (world.ada, world.bob):
        await who.click(world.message(job), custom_id=f"limner:star:{job.id}:0")


async def look(world: World) -> list[GalleryPost]:
    """What the poster does in its turn; the rows after it."""
    await GalleryPoster(world.app, world.bot).look()
    async with world.app.database.read() as session:
        return list(await session.scalars(select(GalleryPost)))


async def test_a_picture_is_posted_once_with_its_own_file(world: World, channel: Any) -> None:
    job = await world.painted("a *red* fox")
    await star(world, job, world.ada)
    assert await look(world) == []
    await star(world, job, world.bob)
    await star(world, job, world.grace)

    [post] = await look(world)
    await look(world)

    [message] = channel.history()
    assert (post.channel_id, post.message_id) == (channel.id, message.id)
    assert message.content.startswith(r"**a \*red\* fox**" + f"\n-# ⭐ 3 members · <@{world.ada.id}> · [Posted here](")
    assert [file.filename for file in message.attachments] == [f"limner-{job.id}-1.png"]
    assert labels(message) == ["Picture", "Favourite"]
    await world.restart()
    opened = await world.bob.click(message, label="Picture")
    assert opened.response
    assert "what is to become of it?" in opened.response.content


async def test_nothing_is_posted_while_the_disk_cannot_record_it(world: World, channel: Any) -> None:
    """Otherwise every look would post it once more."""
    job = await world.painted("a fox")
    await star(world, job)
    full = "CREATE TRIGGER full BEFORE UPDATE ON gallery_posts BEGIN SELECT RAISE(FAIL, 'disk'); END"
    for statement, posts in ((full, 0), ("DROP TRIGGER full", 1)):
        async with world.app.database.begin() as session:
            await session.execute(text(statement))
        for _ in range(2):
            await look(world)
        assert len(channel.history()) == posts


async def change(world: World, job: Job, **values: Any) -> None:
    async with world.app.database.begin() as session:
        row = await session.get_one(Job, job.id)
        for name, value in values.items():
            setattr(row, name, value)


async def delete(world: World, job: Job) -> None:
    await world.app.history.delete(job.id)


async def delete_one(world: World, job: Job) -> None:
    await world.app.history.drop_picture(job.id, 1)


async def erase_member(world: World, job: Job) -> None:
    await world.app.history.delete_all([job.id])
    async with world.app.database.begin() as session:
        await session.delete(await session.get_one(Job, job.id))


async def hide(world: World, job: Job) -> None:
    opened = await world.ada.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
    assert opened.response
    await world.ada.click(opened.response, label="Hide")


async def hold(world: World, job: Job) -> None:
    await change(world, job, quarantine=HoldReason.FLAGGED)


async def object_to(world: World, job: Job) -> None:
    async with world.app.database.begin() as session:
        (await session.get_one(Image, job.images[0].id)).verdict = ImageVerdict.BLOCKED


async def make_private(world: World, job: Job) -> None:
    await change(world, job, is_private=True)


async def test_what_is_not_public_any_more_goes_and_is_never_posted(world: World, channel: Any) -> None:
    for act in (delete, delete_one, erase_member, hide, hold, object_to, make_private):
        posted = await world.painted("a posted fox")
        await star(world, posted)
        assert len(await look(world)) == len(channel.history()) == 1
        wanted = await world.painted("a wanted fox")
        await star(world, wanted)

        await act(world, posted)
        await act(world, wanted)

        assert await look(world) == [], act.__name__
        assert list(channel.history()) == [], act.__name__


async def test_private_requests_and_closed_channels_are_never_posted(world: World, channel: Any) -> None:
    hidden = discord.PermissionOverwrite(view_channel=False)
    guests = world.guild.create_role("Guests")
    closed = world.guild.create_text_channel("closed", overwrites={guests: hidden})
    await world.ada.slash(closed, "imagine", prompt="a fox behind doors")
    await world.finish(await world.claim())
    job = await world.delivered(await world.newest())
    await world.ada.slash(world.channel, "imagine", prompt="a private fox", private="on")
    await world.finish(await world.claim())
    private = await world.newest()
    for image in (*job.images, *private.images):
        await world.app.gallery_posts.want(image.id, world.guild.id)

    assert await look(world) == []
    assert list(channel.history()) == []


async def test_a_forum_gets_a_thread_for_each_picture(world: World, channel: Any) -> None:
    forum = world.guild.create_forum_channel("best")
    await world.grace.slash(world.channel, "pictures gallery", channel=forum)
    job = await world.painted("a red fox")
    await star(world, job)
    [post] = await look(world)
    thread = world.bot.get_channel(post.channel_id or 0)
    assert isinstance(thread, discord.Thread)
    assert thread.name == "a red fox"
    await world.app.history.delete(job.id)
    assert await look(world) == []


async def test_only_manage_server_changes_it_and_off_posts_no_more(world: World, channel: Any) -> None:
    told = await world.grace.slash(world.channel, "pictures gallery", off=True)
    assert told.response
    assert told.response.content == NO_GALLERY
    job = await world.painted()
    await star(world, job)
    assert await look(world) == []
    role = world.guild.create_role("Keepers")
    await world.app.guilds.change(world.guild.id, world.grace.id, moderator_role_ids=[role.id])
    keeper = world.guild.add_member(world.env.create_user("kim"), roles=[role])
    await show_to(world, world.guild.default_role, "pictures")
    refused = await keeper.slash(world.channel, "pictures gallery", stars=5)
    assert refused.response
    assert refused.response.content == OWNERS_ONLY
