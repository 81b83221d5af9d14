"""What its owner deletes: gone for everybody, but for a moderator who has yet to decide; then gone for good."""

from __future__ import annotations

import pytest
from PIL import Image as Pillow
from sqlalchemy import update

from limner.bot.filters.scopes import ANYWHERE
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.ui.job.job_buttons import KEPT
from limner.bot.ui.review import review_poster
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.results import Result, hand_in
from limner.bot.worker.scoring_thread import SelectedPicture
from tests.reviewing import card, carded, choose_channel, fields, kept_back, press, settled
from tests.simulated_discord import World, labels, png


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)


def files(world: World) -> list[str]:
    return [path.name for path in world.app.images.folder.rglob("*.png")]


async def delete(world: World, job: Job) -> str:
    """Press Delete under a request, and mean it; what is asked before."""
    asked = await world.ada.click(world.message(job), label="Delete")
    assert asked.response
    question = asked.response.content
    await world.ada.click(asked.response.message, label="Delete for good")
    assert (await row(world, job)).deleted_at is not None
    return question


async def row(world: World, job: Job) -> Job:
    """The request, deleted or not."""
    async with world.app.database.read() as session:
        return await session.get_one(Job, job.id)


async def flagged(world: World) -> tuple[Job, Review]:
    job = await kept_back(world)
    await world.settled(job, "a moderator has looked")
    return job, await carded(world, job)


async def emptied(world: World, review: Review) -> Review:
    """Wait until a decided review's card shows nothing of its request; the row then."""

    async def shows_nothing() -> Review | None:
        found = await world.app.reviews.get(review.id)
        message = card(world.guild.channels["reviews"], found)
        is_empty = not message.attachments and message.embeds[0].description == "The request was deleted."
        return found if is_empty and found.shown == found.state else None

    found = await world.until(shows_nothing, "the card shows nothing of the request")
    assert found
    return found


async def test_the_card_of_a_deleted_request_keeps_all_until_it_is_decided(world: World) -> None:
    channel = await choose_channel(world)
    job, review = await flagged(world)
    assert KEPT in await delete(world, job)
    assert world.channel.history() == []
    await world.env.settle()
    message = card(channel, await world.app.reviews.get(review.id))
    assert "a red fox" in (message.embeds[0].description or "")
    assert (len(message.attachments), len(labels(message)), len(files(world))) == (1, 3, 1)

    await press(channel, review, "strike", world.grace)
    await emptied(world, review)
    assert "Rejected, with a strike" in (fields(card(channel, review))["Decision"] or "")
    assert len(await world.app.strikes.active(world.guild.id, world.ada.id)) == 1
    assert files(world) == []
    assert await world.app.history.count(world.ada.id, every_status=True) == 0


async def test_what_is_approved_after_it_was_deleted_is_posted_nowhere(world: World) -> None:
    channel = await choose_channel(world)
    job, review = await flagged(world)
    await delete(world, job)
    await press(channel, review, "approve", world.grace)
    await emptied(world, review)
    assert (files(world), world.channel.history()) == ([], [])
    assert await world.app.jobs.undelivered() == []


async def test_a_request_that_is_deleted_before_its_card_is_posted_gets_one_all_the_same(world: World) -> None:
    job = await kept_back(world)
    await world.settled(job, "a moderator has looked")
    await delete(world, job)
    channel = await choose_channel(world)
    async with world.app.database.begin() as session:
        await session.execute(update(Review).values(post_after=0.0))
    review = await carded(world, job)
    assert len(card(channel, review).attachments) == 1
    await press(channel, review, "reject", world.grace)
    await emptied(world, review)
    assert files(world) == []


async def test_the_cards_copy_goes_when_an_approved_request_is_deleted(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "fox", 1, action="flag")
    job = await world.imagine()
    await world.finish(await world.claim())
    review = await carded(world, job)
    await press(channel, review, "ignore", world.grace)
    await settled(world, review)
    job = await world.delivered(job)
    assert len(card(channel, review).attachments) == 1
    [rule] = await world.app.filters.all(world.guild.id)
    await world.app.filters.edit(world.guild.id, rule.id, 1, scope=ANYWHERE)

    assert KEPT not in await delete(world, job)
    await emptied(world, review)
    assert files(world) == []
    assert [rule.scope for rule in await world.app.filters.all(world.guild.id)] == [{}]  # nothing is done twice


async def appealed(world: World) -> tuple[Job, Review]:
    """A refused request that was appealed against."""
    if not await world.app.filters.all(world.guild.id):
        await world.app.filters.add(world.guild.id, "cow", world.grace.id)
    await world.refused("a purple cow")
    job = await world.newest()
    await world.app.reviews.appeal(job, "It is a toy.")
    return job, await carded(world, job)


async def test_a_deleted_appeal_is_decided_and_told_once_and_is_not_queued_again(world: World) -> None:
    channel = await choose_channel(world)
    job, review = await appealed(world)
    await world.app.history.delete(job.id)
    await world.env.settle()
    assert "purple cow" in (card(channel, review).embeds[0].description or "")
    await press(channel, review, "reject", world.grace)
    await emptied(world, review)
    assert len(world.ada.user.dm_channel.history()) == 1

    job, review = await appealed(world)
    await press(channel, review, "reject", world.grace)
    await settled(world, review)
    assert len(world.ada.user.dm_channel.history()) == 2
    await world.app.history.delete(job.id)
    await emptied(world, review)
    assert len(world.ada.user.dm_channel.history()) == 2

    job, review = await appealed(world)
    await world.app.history.delete(job.id)
    await press(channel, review, "approve", world.grace)
    await emptied(world, review)
    assert "queue" not in (fields(card(channel, review))["Decision"] or "")
    assert await world.app.jobs.claim("painter", capacity=1) == []


@pytest.mark.parametrize("is_running", [False, True])
async def test_no_file_of_a_request_that_was_queued_again_outlives_its_deletion(world: World, is_running: bool) -> None:
    job = await world.imagine(image=("a.png", png((64, 48))))
    await world.app.jobs.refuse(await world.claim(), "filter:expansion", "The expansion is not allowed.")
    job = await world.delivered(job)
    asked = await world.ada.click(world.message(job), label="Delete")
    assert asked.response
    await world.app.jobs.reopen(job.id, [1])
    claimed = await world.claim() if is_running else None
    await world.ada.click(asked.response.message, label="Delete for good")
    if claimed:
        painted = Result(SelectedPicture(Pillow.new("RGB", (16, 16)), 1), png())
        beside = ClassifierThread(world.settings), open_scoring(world.settings)
        await hand_in(world.app, *beside, claimed, [painted], seconds=1.0, busy_seconds=1.0)
        assert await world.app.jobs.end_cancelled("painter") == {job.id}
    else:
        assert await world.app.jobs.claim("painter", capacity=1) == []
    job = await row(world, job)
    assert (job.status, job.images, files(world)) == (JobStatus.CANCELLED, [], [])
    assert await world.app.jobs.undelivered() == []
