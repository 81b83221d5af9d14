"""Answers that Discord does not take: what is tried again, what is made smaller, and what the owner reads instead."""

import io
import time
from typing import Any

import discord
import pytest
from PIL import Image

from limner.bot.queue.endings import StoredPicture
from limner.bot.storage.tables.models import Job
from limner.bot.ui.delivery import delivery
from limner.bot.ui.job import job_messages
from tests.bot.test_delivery import PATCH, expire_token, is_held_back, without_progress
from tests.pictures import saved
from tests.rows import seen
from tests.simulated_discord import World, text_of

__all__ = ["without_progress"]


@pytest.mark.usefixtures("without_progress")
@pytest.mark.parametrize("status", [500, 401, *(pytest.param(status, marks=pytest.mark.slow) for status in (429, 503))])
async def test_what_may_pass_is_tried_again(world: World, status: int) -> None:
    world.env.inject_error(*PATCH, status=status)
    job = await world.painted()
    assert job.delivery_attempts == 1
    assert len(world.message(job).attachments) == 1
    assert len(world.channel.history()) == 1


@pytest.mark.usefixtures("without_progress")
async def test_pauses_grow_and_end_at_five_minutes(world: World) -> None:
    world.env.inject_error(*PATCH, status=500, times=None)
    job = await world.imagine()
    await world.finish(await world.claim())

    async def tried(times: int) -> Job | None:
        row = await world.app.jobs.get(job.id)
        return row if row.delivery_attempts == times else None

    assert await world.until(lambda: tried(2), "two tries")
    for _ in range(12):
        await world.app.jobs.postpone_delivery(job.id, -1)

    async def waits_long() -> Job | None:
        row = await world.app.jobs.get(job.id)
        return row if row.deliver_after - time.time() > 290 else None

    row = await world.until(waits_long, "one more try")
    assert row
    assert row.deliver_after - time.time() <= 300
    assert row.delivered_at is None


@pytest.mark.usefixtures("without_progress")
async def test_a_network_that_breaks_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, broken = discord.PartialMessage.edit, [ConnectionResetError(), TimeoutError()]

    async def flaky(self: discord.PartialMessage, **look: object) -> discord.Message:
        if broken:
            raise broken.pop()
        return await edit(self, **look)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(discord.PartialMessage, "edit", flaky)
    job = await world.painted()
    assert job.delivery_attempts == 2
    assert world.message(job).attachments


@pytest.mark.usefixtures("without_progress")
@pytest.mark.parametrize("refusals", [2, pytest.param(1, marks=pytest.mark.slow)])
async def test_a_too_large_upload_shrinks_as_discord_answers(world: World, refusals: int) -> None:
    world.env.inject_error(*PATCH, status=413, code=40005, times=refusals)
    job, noise = await painted_noise(world)
    [attachment] = world.message(job).attachments
    assert attachment.filename == f"limner-{job.id}-1.jpg"
    assert attachment.size <= len(noise) * 0.75**refusals
    with Image.open(io.BytesIO(await attachment.read())) as picture:
        assert picture.size == (128, 128)
    assert job.delivery_attempts == 0


@pytest.mark.usefixtures("without_progress")
async def test_what_discord_does_not_take_is_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = 0
    edit = discord.PartialMessage.edit

    async def counted(self: discord.PartialMessage, **look: Any) -> discord.Message:
        nonlocal uploads
        uploads += any(look.get("attachments", ()))
        return await edit(self, **look)

    monkeypatch.setattr(discord.PartialMessage, "edit", counted)
    monkeypatch.setattr(delivery, "MESSAGE_BYTES", 20_000)
    job, noise = await painted_noise(world, count=2)
    assert len(noise) > 20_000
    sizes = [attachment.size for attachment in world.message(job).attachments]
    assert len(sizes) == 2
    assert max(sizes) <= 10_000
    assert uploads == 1


@pytest.mark.usefixtures("without_progress")
async def test_a_channel_that_takes_no_size_gets_a_sentence(world: World) -> None:
    world.env.inject_error(*PATCH, status=413, code=40005, times=1)
    job = await world.painted()
    message = world.message(job)
    assert message.attachments == []
    assert job_messages.TOO_LARGE in text_of(message)


async def painted_noise(world: World, count: int = 1) -> tuple[Job, bytes]:
    """A request whose pictures no format makes small without loss, and the file of the last."""
    await world.imagine(count=count)
    claimed, pictures, noise = await world.claim(), list[StoredPicture](), b""
    for seed in range(count):
        noise = saved(Image.merge("RGB", [Image.effect_noise((128, 128), 90) for _ in range(3)]))
        pictures.append(StoredPicture(world.app.images.save(noise), 128, 128, len(noise), seed, seen()))
    assert await world.app.jobs.finish(claimed, pictures, seconds=1.0, busy_seconds=1.0)
    return await world.delivered(await world.newest()), noise


async def test_a_deleted_placeholder_stays_deleted(world: World) -> None:
    job = await world.imagine()
    claimed = await world.claim()
    await world.grace.delete(world.message(job))
    await world.finish(claimed)
    await world.delivered(job)
    assert world.channel.history() == []
    assert world.ada.user.dm_channel.history() == []
    assert await world.app.history.count(world.ada.id) == 1


@pytest.mark.slow
async def test_a_channel_that_is_gone_is_told_to_the_owner(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    job = await world.painted()
    assert job.delivered_at
    [message] = world.ada.user.dm_channel.history()
    assert text_of(message) == job_messages.elsewhere(job, job_messages.CHANNEL_GONE)


async def test_a_failure_that_cannot_be_told_in_its_channel_is_told_to_the_owner(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    job = await world.imagine()
    await world.app.jobs.fail(await world.claim(), "memory", "It does not fit; ask for a smaller one.")
    await world.delivered(job)
    [message] = world.ada.user.dm_channel.history()
    assert text_of(message).startswith("It does not fit; ask for a smaller one.\n-# That is about your request 1.")


async def test_after_seven_days_an_answer_is_tried_no_more(world: World) -> None:
    job = await world.imagine()
    await expire_token(world.app, job)
    world.env.inject_error(*PATCH, status=403, code=50001, times=None)
    await world.finish(await world.claim())
    await world.until(lambda: is_held_back(world, job), "its owner is told")
    async with world.app.database.begin() as session:
        row = await session.get_one(Job, job.id)
        row.held_back_at = time.time() - 7 * 86_400 - 1
        row.deliver_after = 0.0
    assert (await world.delivered(job)).delivered_at
    assert len(world.ada.user.dm_channel.history()) == 1


@pytest.mark.slow
async def test_an_owner_who_takes_no_messages_is_left_alone(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=None)
    assert (await world.painted()).delivered_at


@pytest.mark.slow
@pytest.mark.usefixtures("without_progress")
async def test_a_missing_permission_is_named(world: World) -> None:
    job = await world.imagine()
    await expire_token(world.app, job)
    world.env.inject_error(*PATCH, status=403, code=50013)
    await world.finish(await world.claim())
    message = await world.settled(job, "Attach Files")
    assert message.attachments == []
    job = await world.delivered(job)  # the permission was given meanwhile
    assert len(world.message(job).attachments) == 1
    assert world.ada.user.dm_channel.history() == []


async def test_a_user_who_left_still_gets_the_picture(world: World) -> None:
    job = await world.imagine()
    claimed = await world.claim()
    world.guild.remove_member(world.ada)
    await world.finish(claimed)
    assert world.message(await world.delivered(job)).attachments


@pytest.mark.usefixtures("without_progress")
async def test_a_lost_picture_file_is_told(world: World) -> None:
    await world.imagine()
    claimed = await world.claim()
    world.env.inject_error(*PATCH, status=500)
    await world.finish(claimed)
    job = await world.newest()
    world.app.images.delete(job.images[0].sha256)
    job = await world.delivered(job)
    assert job_messages.FILES_GONE in text_of(world.message(job))
