"""Appeals: a refusal is looked at again, once, by the moderators of the server whose rule it was."""

import pytest
import simcord

from limner.bot.errors import Decided
from limner.bot.moderation import appeals
from limner.bot.moderation.appeals import NOBODY
from limner.bot.moderation.reviews import APPEALED
from limner.bot.reasons import JobStatus, ReviewState
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.ui.delivery import delivery
from limner.bot.ui.review import review_outcomes, review_poster
from tests.reviewing import card, carded, choose_channel, fields, press, settled
from tests.simulated_discord import World, labels, text_of


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "ADOPT_AFTER", 0.0)


async def refused(world: World, prompt: str = "a purple cow") -> simcord.InteractionResult:
    """A request that a rule of the server's refuses, and its private answer."""
    await world.app.filters.add(world.guild.id, "cow", world.grace.id)
    result = await world.ada.slash(world.channel, "imagine", prompt=prompt)
    assert result.ephemeral
    return result


def has_button(result: simcord.InteractionResult) -> bool:
    assert result.response
    return "Appeal" in labels(result.response.message)


async def appeal(world: World, result: simcord.InteractionResult, words: str = "It is a toy.") -> Review:
    """Press Appeal under a refusal, and write a word."""
    assert result.response
    job = await world.newest()
    modal = await world.ada.click(result.response.message, custom_id=f"limner:appeal:{job.id}")
    [field] = [part["component"]["custom_id"] for part in (modal.modal or {})["components"]]
    answer = await world.ada.submit_modal(modal, {field: words})
    assert answer.response
    assert "with the moderators" in answer.response.content
    return await carded(world, job)


async def test_an_appeal_that_is_approved_paints_the_request_past_the_rule(world: World) -> None:
    channel = await choose_channel(world)
    review = await appeal(world, await refused(world))
    message = card(channel, review)
    assert labels(message) == ["Approve", "Reject", "Reject + strike", "Ignore rule here"]
    assert "purple cow" in (message.embeds[0].description or "")
    assert "It is a toy." in (message.embeds[0].description or "")
    assert fields(message)["Rules"] == "**1** `` cow `` · block · found `` cow ``, as it is written"
    await press(channel, review, "approve", world.grace)
    await settled(world, review)
    job = await world.newest()
    assert (job.id, job.status) == (review.job_id, JobStatus.QUEUED)
    await world.finish(await world.claim())
    message = world.message(await world.delivered(job))
    assert text_of(message).startswith(f"<@{world.ada.id}>\n**a purple cow**")
    assert len(message.attachments) == 1


async def test_an_appeal_that_is_rejected_is_told_in_private(world: World) -> None:
    channel = await choose_channel(world)
    review = await appeal(world, await refused(world), "")
    await press(channel, review, "reject", world.grace)
    review = await settled(world, review)
    [message] = world.ada.user.dm_channel.history()
    assert text_of(message) == review_outcomes.APPEAL_REJECTED.format(job=review.job_id)
    assert (await world.newest()).status == JobStatus.REFUSED
    told = await world.ada.slash(world.channel, "me")
    assert told.response
    assert f"your appeal for request {review.job_id}: rejected" in str(told.response.embeds[0].to_dict())


@pytest.mark.slow
async def test_one_appeal_for_a_refusal(world: World) -> None:
    await choose_channel(world)
    result = await refused(world)
    review = await appeal(world, result)
    assert result.response
    again = await world.ada.click(result.response.message, custom_id=f"limner:appeal:{review.job_id}")
    assert again.response
    assert again.response.content == APPEALED
    assert len(await world.app.reviews.of_member(world.guild.id, world.ada.id)) == 1


async def test_there_is_no_button_where_nobody_would_see_an_appeal(world: World) -> None:
    assert not has_button(await refused(world))
    await choose_channel(world)
    await world.app.filters.add(0, "bull", 1)
    assert not has_button(await world.ada.slash(world.channel, "imagine", prompt="a bull"))
    assert has_button(await world.ada.slash(world.channel, "imagine", prompt="a cow"))


@pytest.mark.slow
async def test_a_refusal_while_painting_can_be_appealed_against_under_details(world: World) -> None:
    await choose_channel(world)
    rule = await world.app.filters.add(world.guild.id, "cow", world.grace.id)
    await world.imagine("a fox")
    job = await world.claim()
    job.rule_ids = [int(rule.id)]
    await world.app.jobs.refuse(job, "filter:expansion", "The expansion is not allowed.")
    job = await world.delivered(job)
    details = await world.ada.click(world.message(job), custom_id=f"limner:details:{job.id}")
    assert has_button(details)


async def test_the_button_is_its_owners_and_ends_with_the_review_channel(world: World) -> None:
    await choose_channel(world)
    result = await refused(world)
    job: Job = await world.newest()
    await world.app.guilds.change(world.guild.id, world.grace.id, review_channel_id=None)
    assert result.response
    pressed = await world.ada.click(result.response.message, custom_id=f"limner:appeal:{job.id}")
    assert pressed.response
    assert pressed.response.content == NOBODY


async def test_nobody_fills_the_moderators_channel_with_appeals(world: World) -> None:
    await choose_channel(world)
    for _ in range(appeals.MOST):
        await world.app.reviews.appeal(await refused_job(world), "")
    job = await refused_job(world)
    with pytest.raises(Decided, match="wait for a moderator"):
        await world.app.appeals.appeal(job.id, world.ada.id, "")
    [first, *_] = await world.app.reviews.waiting()
    await world.app.reviews.decide(first.id, ReviewState.REJECTED, world.grace.id)
    assert (await world.app.appeals.appeal(job.id, world.ada.id, "")).job_id == job.id


async def refused_job(world: World) -> Job:
    """A request that a rule of the server's has refused."""
    if not await world.app.filters.all(world.guild.id):
        await world.app.filters.add(world.guild.id, "cow", 1)
    await world.refused("a cow")
    return await world.newest()
