"""Reviews as moderators and members meet them: a card, one decision, and what comes of it."""

import io
import time

import discord
import pytest
from PIL import Image, ImageStat
from sqlalchemy import update

from limner.bot.moderation import evasion
from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.provenance.source import DigitalSource
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.storage import audit_log
from limner.bot.storage.pictures.image_files import encode_png
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.ui.review import review_outcomes, review_poster
from tests.reviewing import card, carded, choose_channel, fields, kept_back, moderator, press, settled, told
from tests.rows import listed, new_job, seen
from tests.simulated_discord import World, labels, text_of


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The desk looks often, because no other process tells it of painted requests here."""
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)


OPEN = ["Approve", "Reject", "Reject + strike"]


async def test_a_flagged_request_is_posted_only_when_a_moderator_approves_it(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.blocked.block(0, listed("f0" * 6 + "0f0f"), 0)
    near = ListedPicture(listed("f0" * 7 + "0f").hashes, "a *known* one")
    await world.app.blocked.block(world.guild.id, near, world.grace.id)
    job = await kept_back(world)
    review = await carded(world, job)
    message = card(channel, review)
    assert labels(message) == OPEN
    [picture] = message.attachments
    assert picture.filename == f"SPOILER_limner-{job.id}-1.jpg"
    assert "a red fox" in (message.embeds[0].description or "")
    assert fields(message)["Member"] == (
        f"<@{world.ada.id}>\nRequests: 1, refused: 0 · reviews: 0 approved, 0 rejected · strikes that count: 0"
    )
    assert fields(message)["Nearest blocked picture"] == (
        "Picture 2 of this server's list (a \\*known\\* one), but not the same: 8 of 64 bits differ."
    )
    assert world.message(job).attachments == []

    await press(channel, review, "approve", world.grace)
    review = await settled(world, review)
    assert len(world.message(await world.delivered(job)).attachments) == 1
    message = card(channel, review)
    assert labels(message) == []
    assert (fields(message)["Decision"] or "").startswith(f"Approved by <@{world.grace.id}>")
    assert len(message.attachments) == 1


async def test_pictures_on_cards_are_blurred_where_the_server_says_so(world: World) -> None:
    channel = await choose_channel(world)
    shown = await world.grace.slash(world.channel, "review settings", blur=True)
    assert "Their pictures are blurred" in told(shown)
    stripes = Image.new("L", (64, 64))
    for left in range(0, 64, 8):
        stripes.paste(255, (left, 0, left + 4, 64))
    job = await world.imagine()
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(quarantine="flagged"))
    sha256 = world.app.images.save(encode_png(stripes, "", DigitalSource.TRAINED))
    stored = StoredPicture(sha256, 64, 64, 100, 7, seen())
    assert await world.app.jobs.finish(await world.claim(), [stored], seconds=1.0, busy_seconds=1.0)
    review = await carded(world, job)
    message = card(channel, review)
    assert labels(message) == [*OPEN, "Show the pictures"]
    assert await contrast(message) < 30
    shown = await world.grace.click(message, label="Show the pictures")
    assert shown.ephemeral
    assert shown.response
    assert await contrast(shown.response.message) > 100
    assert "Only members with Manage Server" in told(await world.ada.click(message, label="Show the pictures"))
    await world.grace.slash(world.channel, "review settings", blur=False)
    job = await kept_back(world, who=world.bob)
    assert labels(card(channel, await carded(world, job))) == OPEN


async def contrast(message: discord.Message) -> float:
    """The standard deviation of the grey values of a message's picture."""
    [file] = message.attachments
    assert file.is_spoiler()
    return ImageStat.Stat(Image.open(io.BytesIO(await file.read())).convert("L")).stddev[0]


async def test_a_rejected_request_ends_with_a_sentence_and_its_pictures_are_gone(world: World) -> None:
    channel = await choose_channel(world)
    job = await kept_back(world, "explicit")
    review = await carded(world, job)
    await press(channel, review, "reject", world.grace)
    review = await settled(world, review)
    job = await world.delivered(job)
    assert (job.status, job.reason, job.images) == (JobStatus.REFUSED, review_outcomes.REJECTED, [])
    assert not list(world.app.images.folder.rglob("*.png"))
    message = world.message(job)
    assert (message.attachments, "red fox" in text_of(message)) == ([], False)
    assert labels(message) == ["Details", "Delete"]
    assert card(channel, review).attachments == []
    details = await world.ada.click(message, custom_id=f"limner:details:{job.id}")
    assert details.response
    assert review_outcomes.REJECTED in str(details.response.embeds[0].to_dict())


@pytest.mark.slow
async def test_a_strike_counts_and_the_third_suspends(world: World) -> None:
    channel = await choose_channel(world)
    for number in (1, 2, 3):
        job = await kept_back(world)
        review = await carded(world, job)
        await press(channel, review, "strike", world.grace)
        review = await settled(world, review)
        decision = fields(card(channel, review))["Decision"] or ""
        assert f"strikes that count: {number}." in decision
        assert ("may not paint until" in decision) == (number == 3)
        assert (await world.delivered(job)).reason == review_outcomes.STRUCK
    assert "You may not paint in this server until <t:" in await world.refused()
    await world.imagine(who=world.bob)


async def test_the_second_of_two_moderators_is_told_who_was_first(world: World) -> None:
    channel = await choose_channel(world)
    other = moderator(world, "alan")
    review = await carded(world, await kept_back(world))
    message = card(channel, review)
    first = await world.grace.click(message, custom_id=f"limner:review:approve:{review.id}")
    second = await other.click(message, custom_id=f"limner:review:reject:{review.id}")
    assert first.followups == []
    assert told(second).startswith(f"<@{world.grace.id}> was first: approved <t:")
    assert (await settled(world, review)).state == "approved"


async def test_a_refused_idea_in_another_spelling_waits_for_a_moderator(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "naked", world.grace.id)
    await world.refused("a naked woman on the beach at sunset")
    assert (await world.imagine("a woman on the beach at sunset")).quarantine is None
    assert (await world.imagine("a nekkid woman on the beach at sunset", who=world.bob)).quarantine is None
    job = await world.imagine("a nekkid woman on the beach at sunset")
    assert job.quarantine == "evasion"
    for _ in range(3):
        await world.finish(await world.claim())
    review = await carded(world, job)
    assert "in another spelling" in (fields(card(channel, review))["Why it is here"] or "")
    assert await world.app.strikes.active(world.guild.id, world.ada.id) == []

    await world.app.guilds.change(world.guild.id, world.grace.id, evasion="strike")
    await world.imagine("a nkd woman on the beach at sunset")
    [strike] = await world.app.strikes.active(world.guild.id, world.ada.id)
    assert (strike.given_by, strike.why) == (0, evasion.STRIKE)
    await world.app.guilds.change(world.guild.id, world.grace.id, evasion="off")
    assert (await world.imagine("a naikd woman on the beach at sunset")).quarantine is None


async def test_the_rule_is_ignored_in_the_channel_where_it_was_wrong(world: World) -> None:
    channel = await choose_channel(world)
    rule = await world.app.filters.add(world.guild.id, "cow", world.grace.id, action="flag")
    await world.app.filters.add(0, "fox", 1, action="flag")
    job = await world.imagine("a cow and a fox")
    await world.finish(await world.claim())
    review = await carded(world, job)
    message = card(channel, review)
    assert labels(message) == [*OPEN, "Ignore rule here"]
    rules = fields(message)["Rules"] or ""
    assert "cow" in rules
    assert "fox" not in rules
    await press(channel, review, "ignore", world.grace)
    await settled(world, review)
    assert world.message(await world.delivered(job)).attachments
    assert (await world.imagine("a cow")).quarantine is None
    assert (await world.imagine("a fox", who=world.bob)).quarantine == "flagged"
    [change, *_] = (await audit_log.page(world.app.database, world.guild.id)).changes
    assert (change.what, change.by) == ("exempt", world.grace.id)
    await world.app.filters.undo(world.guild.id, change.id, world.grace.id)
    assert (await world.imagine("a cow", who=world.grace)).quarantine == "flagged"
    assert rule.id == job.rule_ids[0]


async def test_the_words_of_a_flagged_request_are_repeated_only_when_it_is_approved(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "cow", world.grace.id, action="flag")
    job = await world.imagine("a purple cow")
    assert "cow" not in text_of(world.message(job))
    await world.finish(await world.claim())
    await world.settled(job, "a moderator has looked")
    assert "cow" not in text_of(world.message(job))
    review = await carded(world, job)
    await press(channel, review, "approve", world.grace)
    assert "cow" in text_of(world.message(await world.delivered(job)))


async def test_a_card_outlives_restarts_and_is_posted_once(world: World) -> None:
    channel = await choose_channel(world)
    job = await kept_back(world)
    review = await carded(world, job)
    await world.restart()
    async with world.app.database.begin() as session:  # as after a crash between posting and writing it down
        await session.execute(update(Review).where(Review.id == review.id).values(shown=None, message_id=None))
    assert (await carded(world, job)).message_id == review.message_id
    assert len(channel.history()) == 1
    await press(channel, review, "approve", world.grace)
    await settled(world, review)
    await world.delivered(job)


@pytest.mark.slow
async def test_cards_of_a_deleted_channel_wait_for_another_one(world: World) -> None:
    system = world.guild.create_text_channel("general")
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    await guild.edit(system_channel=guild.get_channel(system.id))  # type: ignore[arg-type]
    channel = await choose_channel(world)
    job = await kept_back(world)
    review = await carded(world, job)
    world.env.backend.delete_channel(channel.id)

    async def complained() -> bool:
        return bool(system.history())

    await world.until(complained, "the server is told")
    other = await kept_back(world, who=world.bob)
    await world.until(lambda: _warned_of(world, other, channel.id), "the second card waits too")
    [complaint] = system.history()
    assert "choose another channel" in complaint.content.lower()
    assert (await world.app.reviews.get(review.id)).state == "open"

    channel = await choose_channel(world)
    await _retry_now(world)
    for waiting in (job, other):
        assert card(channel, await carded(world, waiting)).attachments
    assert len(channel.history()) == 2


@pytest.mark.slow
async def test_cards_move_when_another_channel_is_chosen(world: World) -> None:
    await choose_channel(world)
    job = await kept_back(world)
    await carded(world, job)
    channel = await choose_channel(world)

    async def moved() -> bool:
        return len(channel.history()) == 1

    await world.until(moved, "the card is in the new channel")


@pytest.mark.slow
async def test_nobody_decides_in_time(world: World) -> None:
    channel = await choose_channel(world)
    job = await kept_back(world)
    review = await carded(world, job)
    async with world.app.database.begin() as session:
        await session.execute(update(Review).values(created_at=time.time() - 8 * 86_400))
    review = await settled(world, review)
    assert (await world.delivered(job)).reason == review_outcomes.EXPIRED
    assert "nobody decided in time" in (fields(card(channel, review))["Decision"] or "")


async def _warned_of(world: World, job: Job, channel_id: int) -> bool:
    reviews = await world.app.reviews.of_member(world.guild.id, job.user_id)
    return any(review.warned_of == channel_id for review in reviews)


async def _retry_now(world: World) -> None:
    """As if the clock were set back by an hour: a pause that seems to last so long is over."""
    async with world.app.database.begin() as session:
        await session.execute(update(Review).values(post_after=time.time() + 3600))


async def test_stats_say_how_long_decisions_took_and_how_many_appeals_were_right(world: World) -> None:
    app, guild, now = world.app, world.guild.id, time.time()
    decisions = [
        ("approved", False, 600, 1),
        ("rejected", False, 1200, 1),
        ("struck", False, 1800, 1),
        ("expired", False, 9000, None),
        ("approved", True, 3600, 1),
        ("rejected", True, 60, 1),
        ("rejected", True, 60, 1),
    ]
    for state, is_appeal, seconds, by in decisions:
        job = await app.jobs.log_refusal(new_job(guild_id=guild, channel_id=1), "filter:floor-minors", "no")
        review = Review(
            created_at=now - seconds, guild_id=guild, user_id=1, job_id=job.id, is_appeal=is_appeal, why="flagged"
        )
        review.state, review.decided_at, review.decided_by, review.shown = state, now, by, state
        async with app.database.begin() as session:
            session.add(review)
    answer = told(await world.grace.slash(world.channel, "review stats"))
    assert answer == (
        "**The last 30 days**\n"
        "Approved: 2 · rejected: 4 · not decided in time: 1\n"
        "From the card to the decision: 15 minutes (half of them), 60 minutes at most.\n"
        "Appeals that were right: 1 of 3 (33 %).\n"
        "Requests that were refused everywhere (the floor): 7"
    )
