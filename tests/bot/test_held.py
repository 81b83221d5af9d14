"""Requests that wait for a choice: an edit is looked at as a new request is, and nobody suspended chooses."""

from __future__ import annotations

import discord
import pytest
import simcord

from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job import job_buttons, verbs
from limner.bot.ui.review import review_poster
from limner.generators.base import Expansion
from tests import other_clients
from tests.other_clients import told
from tests.reviewing import card, carded, choose_channel, press
from tests.simulated_discord import World, labels, png, text_of

BEACH = "a naked woman on the beach at sunset"
NEKKID = "a nekkid woman on the beach at sunset"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)


async def held(world: World, prompt: str = "a red fox") -> Job:
    """A request that waits for its owner's choice, as its message shows."""
    job = await world.imagine(prompt, expand="preview")
    text = f"{prompt}, snow"
    await world.app.jobs.hold(await world.claim(), Expansion(text, "snow", (), "", 0.1), text)
    await world.settled(job, "Keep paints it")
    return await world.app.jobs.get(job.id)


async def edited(world: World, job: Job, text: str) -> simcord.InteractionResult:
    shown = await world.ada.click(world.message(job), custom_id=f"limner:edit:{job.id}")
    return await world.ada.submit_modal(shown, {"text": text})


async def is_held(world: World, job: Job) -> bool:
    return (await world.app.jobs.get(job.id)).held_at is not None


async def test_an_edit_that_is_refused_is_a_row_and_can_be_appealed_against(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "cow", world.grace.id)
    job = await held(world)
    result = await edited(world, job, "a purple cow")
    assert "not allowed here" in told(result)
    refused = await world.newest()
    assert (refused.status, refused.idea, refused.parent_id) == (JobStatus.REFUSED, "a purple cow", job.id)
    assert (refused.user_id, refused.guild_id, refused.expand) == (world.ada.id, world.guild.id, "off")
    assert await is_held(world, job)
    assert result.response
    assert labels(result.response.message) == ["Appeal", "Change it"]
    form = await world.ada.click(result.response.message, label="Appeal")
    await world.ada.submit_modal(form, {"words": "It is a toy."})
    review = await carded(world, refused)
    assert "purple cow" in (card(channel, review).embeds[0].description or "")
    await press(channel, review, "approve", world.grace)

    async def again() -> bool:
        return (await world.app.jobs.get(refused.id)).status == JobStatus.QUEUED

    await world.until(again, "the edit is in the queue")
    assert (await world.claim()).idea == "a purple cow"


async def test_an_edit_that_says_again_what_was_refused_gets_a_card(world: World) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "naked", world.grace.id)
    await world.refused(BEACH)
    job = await held(world, "a woman on the beach at sunset")
    await edited(world, job, NEKKID)
    assert (await world.app.jobs.get(job.id)).quarantine == "evasion"
    await world.finish(await world.claim())
    review = await carded(world, await world.app.jobs.get(job.id))
    assert "nekkid" in str(card(channel, review).embeds[0].to_dict())


async def test_an_edit_that_was_refused_is_remembered(world: World) -> None:
    await choose_channel(world, evasion="strike")
    await world.app.filters.add(world.guild.id, "naked", world.grace.id)
    job = await held(world)
    await edited(world, job, BEACH)
    assert (await world.imagine(NEKKID)).quarantine == "evasion"
    assert len(await world.app.strikes.active(world.guild.id, world.ada.id)) == 1


async def test_an_edit_that_a_rule_changes_or_flags_is_painted_so(world: World) -> None:
    await choose_channel(world)
    await world.app.filters.add(world.guild.id, "cow", 1, action="replace", replacement="hen")
    await world.app.filters.add(world.guild.id, "bull", 1, action="flag")
    job = await held(world)
    await edited(world, job, "a red fox, a cow and a bull")
    job = await world.app.jobs.get(job.id)
    assert (job.idea, job.prompt, job.quarantine) == ("a red fox", "a red fox, a hen and a bull", "flagged")
    assert "fox" not in text_of(world.message(job))


PAINTS = {"keep", "edit", "another", "reroll", "remix", "raw", "upscale", "paint"}
DOES_NOT = {"details", "delete", "erase", "cancel"}
OF_OTHER_STATES = {"enhance", "change", "stop"}
"""Verbs of drafts and of requests that are being painted, which have tests of their own."""


async def suspend(world: World) -> None:
    settings = await world.app.guilds.change(world.guild.id, 1, strike_limit=1)
    await world.app.strikes.give(world.guild.id, world.ada.id, by=1, why="spam", settings=settings)


async def untouched(world: World, job: Job, newest: int, result: simcord.InteractionResult) -> None:
    assert "You may not paint in this server until <t:" in told(result)
    assert await is_held(world, job)
    assert (await world.newest()).id == newest


async def test_nobody_suspended_paints_by_any_door(world: World) -> None:
    assert set(verbs.LOOKS) == PAINTS | DOES_NOT | OF_OTHER_STATES
    painted, job = await world.painted(), await held(world)
    described = await world.imagine(who=world.ada)
    async with world.app.database.begin() as session:
        row = await session.get_one(Job, described.id)
        row.kind, row.status, row.prompt = "describe", "succeeded", "a fox"
    await suspend(world)
    newest = (await world.newest()).id
    of = {"keep": job, "edit": job, "another": job, "raw": job, "paint": described}
    for verb in sorted(PAINTS - {"edit", "remix"}):
        name = f"limner:{verb}:{of.get(verb, painted).id}"
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label=verb, custom_id=name))
        message = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
        await untouched(world, job, newest, await other_clients.press(world, world.ada, message, name))
    for kind, about, values in (("edit", job, {"text": "a cat"}), ("remix", painted, {"idea": "a cat"})):
        name = f"limner:form:{kind}:{world.guild.id}:{world.ada.id}:{about.id}"
        await untouched(
            world, job, newest, await other_clients.fill(world, world.ada, world.channel.id, name, **values)
        )
    opened = await world.ada.slash(world.channel, "history", id=painted.id)
    assert opened.response
    await untouched(world, job, newest, await world.ada.click(opened.response.message, label="Repeat"))
    await untouched(world, job, newest, await world.ada.slash(world.channel, "imagine", prompt="a cat"))
    picture = {"image": ("a.png", png((64, 48)))}
    await untouched(world, job, newest, await world.ada.slash(world.channel, "imagine", prompt="a cat", **picture))


async def test_a_button_does_nothing_that_its_request_has_no_button_for(world: World) -> None:
    job = await world.painted()
    for verb in ("reroll", "remix", "paint"):
        async with world.app.database.begin() as session:
            row = await session.get_one(Job, job.id)
            row.kind, row.status = ("paint", "running") if verb == "paint" else ("describe", "succeeded")
        name = f"limner:{verb}:{job.id}"
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label=verb, custom_id=name))
        message = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
        assert told(await other_clients.press(world, world.ada, message, name)) == job_buttons.NOT_NOW, verb
        assert (await world.newest()).id == job.id
