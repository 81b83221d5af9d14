"""What is posted, and where: the classifier's scores against the channel as it is when the pictures are posted."""

import discord
import pytest
from PIL import Image

from limner.bot.filters.scopes import Ages, Scope
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.moderation.image_policy import REASONS
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.pictures.image_files import encode_preview
from limner.bot.storage.tables.models import Job, Seen
from limner.bot.ui.delivery import delivery
from limner.bot.ui.job import job_messages
from limner.bot.ui.picture.opened import HIDDEN
from tests.rows import listed, seen
from tests.simulated_discord import World, labels, png, text_of

EXPLICIT_LOOK = seen(0.8)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between progress edits."""
    for name in ("PROGRESS_AFTER", "PROGRESS_SECONDS", "PREVIEW_AFTER"):
        monkeypatch.setattr(delivery, name, 0.0)
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.05)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a classifier, whose worker the tests play."""
    return settings.using(safety_classifier="default")


async def explicit(world: World, look: Seen | None = EXPLICIT_LOOK) -> Job:
    job = await world.imagine()
    await world.finish(await world.claim(), look=look)
    return job


async def refusal(world: World, job: Job) -> Job:
    job = await world.delivered(job)
    assert job.status == JobStatus.REFUSED
    assert text_of(world.message(job)) == job_messages.REFUSED_BY_FILTER
    assert world.message(job).attachments == []
    assert job.images == []
    return job


def stored(world: World) -> list[str]:
    return [path.name for path in world.app.images.folder.rglob("*.png")]


async def test_pictures_that_nobody_has_seen_wait_with_a_sentence_and_are_posted_after_the_look(world: World) -> None:
    job = await explicit(world, look=None)
    message = await world.settled(job, job_messages.NOT_SEEN)
    assert message.attachments == []
    assert {"Reroll", "Details", "Delete"} <= set(labels(message))
    job = await world.app.jobs.get(job.id)
    assert (job.quarantine, job.delivered_at) == (HoldReason.UNSEEN, None)

    await world.app.quarantine.looked(job.id, {job.images[0].id: seen(0.1)})
    job = await world.delivered(job)
    assert [file.filename for file in world.message(job).attachments] == [f"limner-{job.id}-1.png"]


async def test_what_is_too_explicit_is_refused_and_its_file_removed(world: World) -> None:
    job = await refusal(world, await explicit(world))
    assert (job.reason_code, job.reason) == ("picture:explicit", REASONS[HoldReason.EXPLICIT])
    assert stored(world) == []


async def test_an_age_restricted_channel_takes_more(world: World) -> None:
    world.restrict(True)
    job = await world.delivered(await explicit(world))
    assert len(world.message(job).attachments) == 1


@pytest.mark.parametrize(
    "level", [discord.NSFWLevel.age_restricted, pytest.param(discord.NSFWLevel.explicit, marks=pytest.mark.slow)]
)
async def test_every_channel_of_an_age_restricted_server_is_one(world: World, level: discord.NSFWLevel) -> None:
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    guild.nsfw_level = level
    await world.app.filters.add(world.guild.id, "fox", world.grace.id, scope=Scope(ages=Ages.EXCEPT))
    job = await world.delivered(await explicit(world))
    assert job.is_age_restricted
    assert len(world.message(job).attachments) == 1


async def test_a_safe_server_is_none(world: World) -> None:
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    guild.nsfw_level = discord.NSFWLevel.safe
    await refusal(world, await explicit(world))


async def test_a_channel_that_lost_its_age_restriction_meanwhile_gets_the_stricter_limit(world: World) -> None:
    world.restrict(True)
    job = await world.imagine()
    claimed = await world.claim()
    world.restrict(False)
    await world.finish(claimed, look=EXPLICIT_LOOK)
    await refusal(world, job)


async def test_pictures_of_a_bot_without_eyes_are_looked_at_before_they_are_posted(world: World) -> None:
    """Rows of an older version, or of a time when the classifier was off."""
    unseen = Seen(1.0, "off", None, None, "f0" * 8)
    job = await explicit(world, look=unseen)
    await world.settled(job, job_messages.NOT_SEEN)
    taken = await world.until(world.app.quarantine.take, "a worker is asked to look")
    assert taken
    await world.app.quarantine.looked(job.id, {taken.images[0].id: EXPLICIT_LOOK})
    await refusal(world, job)


async def test_a_moderator_decides_if_there_is_a_review_channel(world: World) -> None:
    await world.app.guilds.change(world.guild.id, 1, review_channel_id=1)
    job = await explicit(world)
    assert (await world.settled(job, job_messages.UNDECIDED)).attachments == []
    assert len(stored(world)) == 1
    assert await world.app.quarantine.approve(job.id)
    job = await world.delivered(job)
    assert len(world.message(job).attachments) == 1


async def test_a_blocked_picture_does_not_come_back(world: World) -> None:
    await world.app.blocked.block(world.guild.id, listed(), world.grace.id)
    job = await refusal(world, await explicit(world, look=seen(0.0, "f0" * 7 + "f1")))
    assert job.reason == REASONS[HoldReason.BLOCKED]
    await world.app.blocked.block(EVERYWHERE, listed("a" * 16), 0)
    await world.imagine(image=("a.png", png()))
    given = await world.claim()
    picture = await world.app.inputs.keep(given.generation.given[0], seen(0.0, "a" * 15 + "b"))
    by = await world.app.image_policy.blocked_by(given.guild_id, picture.hashes)
    assert await world.app.jobs.refuse(given, "picture:blocked", "no", blocked_by=by)

    newer, older = (await refused_for_pictures(world)).splitlines()
    assert newer.startswith(f"**{given.id}** · <@{world.ada.id}> · ")
    assert newer.endswith("Picture 2 of this bot's operator: 1 of 64 bits differ, so it counts as the same.")
    assert "Picture 1 of this server's list (a picture file): 1 of 64 bits differ" in older
    await world.app.blocked.allow(world.guild.id, 1, world.grace.id)
    assert "Picture 1, which is not blocked any more: 1 of 64 bits differed." in await refused_for_pictures(world)
    assert "bits" not in text_of(world.message(job)) + str((await world.app.jobs.get(job.id)).reason)


async def refused_for_pictures(world: World) -> str:
    shown = await world.grace.slash(world.channel, "review refused")
    assert shown.response
    return shown.response.message.embeds[0].description or ""


async def test_a_killed_bot_refuses_again_what_it_had_begun_to_refuse(world: World) -> None:
    """The row says refused, and then the bot dies before the file is removed."""
    await world.bot.unload_extension("limner")
    await world.bot.load_extension("limner")
    job = await world.imagine()
    await world.finish(await world.claim(), look=EXPLICIT_LOOK)
    assert await world.app.quarantine.refuse(job.id, "picture:explicit", "no", {})
    await refusal(world, job)
    assert stored(world) == []


async def test_history_shows_no_picture_of_the_quarantine_nor_one_that_is_too_explicit_here(world: World) -> None:
    await explicit(world, look=None)
    world.restrict(True)
    shown = await world.delivered(await explicit(world))
    world.restrict(False)
    result = await world.ada.slash(world.channel, "history")
    assert result.response
    page = result.response.message
    assert page.attachments == []
    newer, older = text_of(page).splitlines()[-2:]
    assert newer.endswith(HIDDEN[HoldReason.EXPLICIT])
    assert older.endswith(HIDDEN[HoldReason.UNSEEN])
    opened = await world.ada.slash(world.channel, "history", id=shown.id)
    assert opened.response
    assert opened.response.message.attachments == []
    assert opened.response.content.startswith("These pictures are too explicit for this channel.\n[Posted here](")


async def test_a_rough_picture_obeys_the_same_limits(world: World) -> None:
    job = await world.imagine(steps=10)
    await world.claim()
    rough = encode_preview(Image.new("RGB", (64, 64), (200, 0, 0)))
    for step, look, shown in ((1, EXPLICIT_LOOK, 0), (2, seen(0.1), 1), (3, seen(0.6), 0)):
        await world.app.jobs.save_preview("painter", job.id, step, rough, look)
        await world.app.jobs.record_steps("painter", {job.id: step})
        message = await world.settled(job, f"step {step} of 10")
        assert len(message.attachments) == shown


async def test_a_member_starts_from_a_picture(world: World) -> None:
    job = await world.imagine("as a drawing", image=("My cat.png", png((64, 48))), strength=0.5)
    assert job.input_name == "My cat.png"
    assert job.input_sha256
    assert job.generation.init_image == job.input_sha256
    assert job.generation.strength == 0.5
    assert world.app.images.open(job.input_sha256).size == (64, 48)
    again = await world.ada.click(world.message(await _painted(world, job)), label="Reroll")
    assert again.response
    assert (await world.newest()).input_sha256 == job.input_sha256


async def _painted(world: World, job: Job) -> Job:
    await world.finish(await world.claim())
    return await world.delivered(job)


async def test_a_picture_that_cannot_be_used_is_told_to_its_owner_only(world: World) -> None:
    assert "is not a picture that can be used" in await world.refused(image=("cat.png", b"meow"))
    assert await world.app.history.count(None, every_status=True) == 0


async def test_a_file_name_obeys_the_filter(world: World) -> None:
    await world.app.filters.add(world.guild.id, "purple cow", world.grace.id)
    assert "filter:file" in await world.refused(image=("purple_cow.png", png((64, 48))))


async def test_a_picture_goes_with_the_last_request_that_starts_from_it(world: World) -> None:
    first = await world.imagine(image=("a.png", png((64, 48))))
    second = await world.imagine(image=("b.png", png((64, 48))))
    assert first.input_sha256 == second.input_sha256
    await world.app.history.sweep(older_than=-1)
    await world.app.history.delete(first.id)
    assert len(stored(world)) == 1
    await world.app.history.delete(second.id)
    assert stored(world) == []


async def test_a_picture_whose_request_was_never_written_is_swept(world: World) -> None:
    await world.app.inputs.store(png((64, 48)))
    assert await world.app.history.sweep(older_than=60) == 0
    assert await world.app.history.sweep(older_than=-1) == 1
    assert stored(world) == []
