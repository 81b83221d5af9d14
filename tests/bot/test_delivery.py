"""Delivery: nothing is lost, nothing is posted twice, and nobody waits for somebody else's channel."""

import asyncio
import io
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import discord
import pytest
from PIL import Image
from sqlalchemy import delete, update

from limner.bot.app import App
from limner.bot.place import Where
from limner.bot.queue.jobs import NewJob, StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.storage.image_files import encode_preview
from limner.bot.storage.models import AnswerToken, Job
from limner.bot.ui import delivery, job_messages
from limner.bot.ui.delivery import Delivery
from limner.generators.base import Expansion, GenerationRequest
from tests.discord_records import until
from tests.pictures import saved
from tests.rows import seen
from tests.simulated_discord import World, labels

PATCH = ("PATCH", "/channels/*/messages/*")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between progress edits, nor before a lost placeholder is looked for."""
    for name in ("ADOPT_AFTER", "PROGRESS_AFTER", "PROGRESS_SECONDS"):
        monkeypatch.setattr(delivery, name, 0.0)
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.05)


@pytest.fixture
def without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first edit is the one with the pictures, however slow the machine is."""
    monkeypatch.setattr(delivery, "PROGRESS_AFTER", math.inf)


@pytest.fixture
def looks(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """Waits until delivery has looked at all jobs so many times more."""
    to_show, looked = world.app.jobs.to_show, 0

    async def counted() -> Sequence[Job]:
        nonlocal looked
        shown = await to_show()
        looked += 1
        return shown

    async def wait(times: int) -> None:
        last = looked + times
        await until(lambda: looked >= last)

    monkeypatch.setattr(world.app.jobs, "to_show", counted)
    return wait


async def save_expansion(world: World, job: Job, added: str, note: str = "") -> None:
    text = f"{job.idea}, {added}" if added else job.idea
    await world.app.jobs.save_expansion(job, Expansion(text, added, (), "SmolLM2", 0.1, note), text)


def edits(world: World) -> int:
    return sum(request.method == "PATCH" for request in world.env.http_requests)


async def test_the_placeholder_becomes_the_picture(world: World) -> None:
    job = await world.imagine("a red fox", seed=7)
    claimed = await world.claim()
    await save_expansion(world, claimed, "soft light")
    await world.finish(claimed)
    job = await world.delivered(job)
    message = world.message(job)
    assert message.content == "**a red fox**\n*soft light*\n-# seed 7 · doodle · 1.2 s"
    assert labels(message) == ["Reroll", "Remix", "Raw", "Upscale", "Details", "Delete"]
    [attachment] = message.attachments
    assert attachment.filename == f"limner-{job.id}-1.png"
    assert attachment.description == "a red fox, soft light"
    assert await attachment.read() == world.app.images.read(job.images[0].sha256)
    assert len(world.channel.history()) == 1


async def test_several_pictures_a_style_and_a_note(world: World) -> None:
    job = await world.imagine("a red fox", seed=7, count=3, style="watercolor")
    [claimed] = await world.app.jobs.claim("painter", capacity=4)
    await save_expansion(world, claimed, "", "The language model was too slow, so your idea is used as it is.")
    await world.finish(claimed, count=3)
    message = world.message(await world.delivered(job))
    assert len(message.attachments) == 3
    assert message.content.splitlines()[1:] == [
        "-# The language model was too slow, so your idea is used as it is.",
        "-# seeds 7 to 9 · style watercolor · doodle · 1.2 s",
    ]
    assert labels(message) == ["Reroll", "Remix", "Upscale", "Details", "Delete"]


async def test_a_failure_says_why(world: World) -> None:
    job = await world.imagine()
    await world.app.jobs.fail(await world.claim(), "memory", "It does not fit; ask for a smaller one.")
    message = world.message(await world.delivered(job))
    assert message.content == "**a red fox**\nIt does not fit; ask for a smaller one."
    assert labels(message) == ["Reroll", "Remix", "Details", "Delete"]


async def test_progress_is_shown_and_never_after_the_end(
    world: World, at_once: None, looks: Callable[[int], Awaitable[None]]
) -> None:
    job = await world.imagine(steps=10)
    claimed = await world.claim()
    await world.settled(job, "describing the picture")
    await world.app.jobs.record_steps("painter", {job.id: 4})
    message = await world.settled(job, "step 4 of 10")
    assert "▰▰▰▰▱▱▱▱▱▱" in message.content
    assert labels(message) == ["Cancel"]
    await world.finish(claimed)
    job = await world.delivered(job)
    seen = edits(world)
    await looks(3)
    assert edits(world) == seen
    assert "seed" in world.message(job).content


async def test_progress_is_throttled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PROGRESS_AFTER", 0.0)
    job = await world.imagine(steps=10)
    await world.claim()
    await world.settled(job, "describing the picture")
    for step in range(1, 6):
        await world.app.jobs.record_steps("painter", {job.id: step})
        await asyncio.sleep(0.02)
    assert edits(world) == 1


async def test_a_rough_picture_is_shown_replaced_and_gone_with_the_last_one(
    world: World, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PREVIEW_AFTER", 0.0)
    job = await world.imagine(steps=10)
    claimed = await world.claim()
    for step, shade in ((3, 0), (6, 200)):
        rough = encode_preview(Image.new("RGB", (512, 512), (shade, 0, 0)))
        await world.app.jobs.save_preview("painter", job.id, step, rough, seen())
        await world.app.jobs.record_steps("painter", {job.id: step})
        message = await world.settled(job, f"step {step} of 10")
        [attachment] = message.attachments
        assert attachment.filename == f"limner-{job.id}-preview.jpg"
        assert await attachment.read() == rough
    await world.finish(claimed)
    message = world.message(await world.delivered(job))
    assert [attachment.filename for attachment in message.attachments] == [f"limner-{job.id}-1.png"]
    assert await world.app.jobs.preview(job.id) is None


async def test_a_channel_that_takes_no_files_still_shows_progress(
    world: World, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PREVIEW_AFTER", 0.0)
    job = await world.imagine(steps=10)
    await expire_token(world.app, job)
    await world.claim()
    await world.settled(job, "describing the picture")
    await world.app.jobs.save_preview("painter", job.id, 1, encode_preview(Image.new("RGB", (16, 16))), seen())
    world.env.inject_error(*PATCH, status=403, code=50013)
    await world.app.jobs.record_steps("painter", {job.id: 1})
    assert (await world.settled(job, "step 1 of 10")).attachments == []
    await world.app.jobs.record_steps("painter", {job.id: 2})
    assert (await world.settled(job, "step 2 of 10")).attachments == []


async def test_who_waits_sees_the_line_move(
    world: World, at_once: None, monkeypatch: pytest.MonkeyPatch, looks: Callable[[int], Awaitable[None]]
) -> None:
    monkeypatch.setattr(delivery, "WAITING_SECONDS", 0.0)
    await world.imagine(who=world.bob)
    job = await world.imagine(who=world.ada)
    assert "2nd in line" in world.message(job).content
    await world.claim()
    await world.settled(job, "next in line")
    seen = edits(world)
    await looks(5)
    assert edits(world) <= seen + 1  # the other one's beginning; what has not changed is not written again


async def test_a_failing_progress_edit_harms_nothing(world: World, at_once: None) -> None:
    world.env.inject_error(*PATCH, status=500)
    job = await world.imagine(steps=10)
    claimed = await world.claim()
    await world.settled(job, "describing the picture")
    await world.finish(claimed)
    assert world.message(await world.delivered(job)).attachments


@pytest.mark.usefixtures("without_progress")
@pytest.mark.parametrize("status", [500, 503, 429, 401])
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
@pytest.mark.parametrize("refusals", [1, 2])
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
    assert job_messages.TOO_LARGE in message.content


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


async def test_a_channel_that_is_gone_is_told_to_the_owner(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    job = await world.painted()
    assert job.delivered_at
    [message] = world.ada.user.dm_channel.history()
    assert message.content == job_messages.elsewhere(job, job_messages.CHANNEL_GONE)


async def test_a_failure_that_cannot_be_told_in_its_channel_is_told_to_the_owner(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    job = await world.imagine()
    await world.app.jobs.fail(await world.claim(), "memory", "It does not fit; ask for a smaller one.")
    await world.delivered(job)
    [message] = world.ada.user.dm_channel.history()
    assert message.content.startswith("It does not fit; ask for a smaller one.\n-# That is about your request 1.")


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


async def test_an_owner_who_takes_no_messages_is_left_alone(world: World) -> None:
    world.env.inject_error(*PATCH, status=404, code=10003, times=None)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=None)
    assert (await world.painted()).delivered_at


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
    assert job_messages.FILES_GONE in world.message(job).content


async def test_killed_between_posting_and_marking(world: World) -> None:
    job = await world.painted()
    before = world.message(job)
    await unmark(world.app, job)
    await world.restart()
    job = await world.delivered(job)
    assert world.message(job).content == before.content
    assert len(world.message(job).attachments) == 1
    assert len(world.channel.history()) == 1


async def test_a_placeholder_whose_number_was_lost_is_found(world: World, at_once: None) -> None:
    await world.bob.send(world.channel, "hello")
    job, other = await world.imagine("a red fox"), await world.imagine("a blue boat", world.bob)
    await lose_message(world.app, job)
    await world.bob.send(world.channel, "hello again")
    await world.finish(await world.claim())
    row = await world.delivered(job)
    assert row.message_id == job.message_id
    assert world.message(row).attachments
    assert "queued" in world.message(other).content
    # The other one was asked for before the clock was set back by an hour.
    await lose_message(world.app, other, created_at=time.time() + 3600)
    await world.finish(await world.claim())
    row = await world.delivered(other)
    assert row.message_id == other.message_id
    assert world.message(row).attachments
    assert len(world.channel.history()) == 4


async def test_a_young_job_does_not_look_for_its_message(
    world: World, monkeypatch: pytest.MonkeyPatch, looks: Callable[[int], Awaitable[None]]
) -> None:
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.05)
    job = await world.imagine()
    await lose_message(world.app, job)
    await world.finish(await world.claim())
    await looks(3)
    assert len(world.channel.history()) == 1
    assert (await world.app.jobs.get(job.id)).delivered_at is None
    assert job.message_id
    await world.app.jobs.attach_message(job.id, job.message_id)
    await world.delivered(job)
    assert world.message(job).attachments


async def test_a_preview_without_a_message_gets_one(world: World, at_once: None) -> None:
    world.env.inject_error("POST", "/interactions/*/callback", status=500)
    await world.ada.slash(world.channel, "imagine", prompt="a red fox", expand="preview")
    job = await world.claim()
    await world.app.jobs.hold(job, Expansion("a red fox, tall", "tall", (), "m", 0.1), "a red fox, tall")

    async def posted() -> list[discord.Message]:
        return world.channel.history()

    [message] = await world.until(posted, "the preview is posted")
    assert labels(message) == ["Keep", "Edit", "Raw", "Cancel"]
    await world.until(lambda: has_message(world, job), "its number is kept")
    await world.ada.click(message, label="Keep")
    await world.finish(await world.claim())
    await world.delivered(job)
    assert len(world.channel.history()) == 1


async def test_a_deleted_preview_frees_its_owners_place(world: World, at_once: None) -> None:
    job = await world.imagine(expand="preview")
    claimed = await world.claim()
    await world.grace.delete(world.message(job))
    await world.app.jobs.hold(claimed, Expansion("a red fox, tall", "tall", (), "m", 0.1), "a red fox, tall")
    assert (await world.delivered(job)).status == JobStatus.CANCELLED
    assert world.channel.history() == []


async def test_a_slow_channel_holds_up_only_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, other, stuck = discord.PartialMessage.edit, world.guild.create_text_channel("other"), asyncio.Event()

    async def slow(self: discord.PartialMessage, **look: object) -> discord.Message:
        if self.channel.id == other.id:
            await stuck.wait()
        return await edit(self, **look)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(discord.PartialMessage, "edit", slow)
    for _ in range(25):
        job = await world.app.jobs.enqueue(new_job(world, other.id))
        await world.app.jobs.attach_message(job.id, 1)
        await world.app.jobs.cancel(job.id, "No more.")
    await world.painted()
    assert len(await world.app.jobs.undelivered()) == 20
    stuck.set()
    await world.until(lambda: none_left(world), "the slow channel's jobs are done")


async def test_stopping_leaves_no_task(world: World) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(Delivery(world.app, world.bot).run())
    await world.until(lambda: _has_more_tasks(before | {task}), "the delivery has begun")
    task.cancel()
    await asyncio.wait([task])
    assert asyncio.all_tasks() <= before


async def _has_more_tasks(known: set[asyncio.Task[Any]]) -> bool:
    return bool(asyncio.all_tasks() - known)


def new_job(world: World, channel_id: int) -> NewJob:
    request = world.settings.default_card
    painting = GenerationRequest(
        prompt="a hat",
        model=request.name,
        width=request.width,
        height=request.height,
        num_inference_steps=2,
        guidance_scale=1.0,
        seed=1,
    )
    return NewJob(idea="a hat", request=painting, user_id=world.bob.id, where=Where(channel_id=channel_id))


async def unmark(app: App, job: Job) -> None:
    async with app.database.begin() as session:
        row = await session.get_one(Job, job.id)
        row.delivered_at = None


async def lose_message(app: App, job: Job, **more: float) -> None:
    async with app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(message_id=None, **more))


async def expire_token(app: App, job: Job) -> None:
    """As if 15 minutes had gone by since the command."""
    async with app.database.begin() as session:
        await session.execute(delete(AnswerToken).where(AnswerToken.job_id == job.id))


async def is_held_back(world: World, job: Job) -> bool:
    return (await world.app.jobs.get(job.id)).held_back_at is not None


async def has_message(world: World, job: Job) -> bool:
    return (await world.app.jobs.get(job.id)).message_id is not None


async def none_left(world: World) -> bool:
    return not await world.app.jobs.undelivered()
