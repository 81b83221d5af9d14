"""Members report posted pictures of others: one card for the moderators, and what their decisions do."""

import time
from typing import Any

import pytest
from sqlalchemy import select, update

from limner.bot.reasons import JobStatus, ReviewState
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import MemberReport, Review
from tests.other_clients import told
from tests.reviewing import card, carded, choose_channel, settled
from tests.simulated_discord import World, labels, text_of


async def report(world: World, who: Any, job: Job, words: str = "") -> str:
    """Choose Report in the menu of a request's message, and send the form; the answer."""
    opened = await who.context_menu(world.channel, "Report", world.message(job))
    if opened.response:
        return told(opened)
    return told(await who.submit_modal(opened, {"words": words}))


async def test_the_first_report_opens_a_card_and_rejecting_takes_the_pictures_away(world: World):
    reviews = await choose_channel(world)
    job = await world.painted("a fox")
    assert "That is your own" in await report(world, world.ada, job)
    assert "have your report" in await report(world, world.bob, job, "a stolen picture")
    assert "reported that request already" in await report(world, world.bob, job)
    review = await carded(world, job)
    shown = str(card(reviews, review).embeds[0].to_dict())
    assert "a stolen picture" in shown
    assert str(world.bob.id) not in shown
    zoe = world.guild.add_member(world.env.create_user("zoe"))
    assert "has looked at that request already, or is about to" in await report(world, zoe, job)
    async with world.app.database.read() as session:
        assert len((await session.scalars(select(MemberReport))).all()) == 2
        assert len((await session.scalars(select(Review))).all()) == 1

    await world.app.reviews.decide(review.id, ReviewState.STRUCK, world.grace.id)
    await settled(world, review)

    async def is_taken_away() -> bool:
        message = world.message(job)
        return not message.attachments and "The pictures of this request are not posted" in text_of(message)

    await world.until(is_taken_away, "the pictures are gone")
    assert (await world.app.jobs.get(job.id)).status == JobStatus.REFUSED
    assert not world.app.images.path(job.images[0].sha256).exists()
    assert await world.app.strikes.count(world.guild.id, world.ada.id) == 1


@pytest.mark.parametrize("is_in_time", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_what_is_approved_or_not_looked_at_stays(world: World, is_in_time: bool):
    await choose_channel(world)
    job = await world.painted("a fox")
    opened = await world.bob.click(world.message(job), label="Picture")
    assert opened.response
    assert "Report" in labels(opened.response.message)
    form = await world.bob.click(opened.response, label="Report")
    assert "have your report" in told(await world.bob.submit_modal(form, {"words": ""}))
    review = await carded(world, job)
    if is_in_time:
        await world.app.reviews.decide(review.id, ReviewState.APPROVED, world.grace.id)
    else:
        async with world.app.database.begin() as session:
            await session.execute(update(Review).values(created_at=time.time() - 8 * 86_400))
    assert (await settled(world, review)).state == ReviewState.APPROVED
    assert world.message(job).attachments
    assert (await world.app.jobs.get(job.id)).status == JobStatus.SUCCEEDED
    own = await world.ada.click(world.message(job), label="Picture")
    assert own.response
    assert "Report" not in labels(own.response.message)
    await world.delete(job)

    async def is_erased() -> bool:
        async with world.app.database.read() as session:
            return (await session.scalars(select(MemberReport))).all() == []

    await world.until(is_erased, "the report is erased with the request")


async def test_reports_are_few_and_need_moderators(world: World):
    jobs = [await world.painted(f"a fox {number}") for number in range(6)]
    assert "no channel for its moderators' reviews" in await report(world, world.bob, jobs[0])
    await choose_channel(world)
    for job in jobs[:5]:
        assert "have your report" in await report(world, world.bob, job)
    assert "You have reported 5 requests here in 24 hours" in await report(world, world.bob, jobs[5])
