"""The buttons: what they do, for whom, and after a restart."""

from typing import Any

import discord
import pytest
import simcord

from limner.bot.errors import NotYours
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import speaking
from limner.bot.ui.job.job_details import details
from limner.generators.base import Expansion
from tests.rows import a_moment_passes
from tests.simulated_discord import World, labels, text_of

ADDED = "soft light, deep snow"


async def press(world: World, job: Job, verb: str, who: simcord.MemberActor | None = None) -> simcord.InteractionResult:
    return await (who or world.ada).click(world.message(job), custom_id=f"limner:{verb}:{job.id}")


def told(result: simcord.InteractionResult) -> str:
    """The sentence that only the one who pressed sees."""
    answers = [*([result.response] if result.response else []), *result.followups]
    assert answers[-1].ephemeral
    return answers[-1].content


def expansion(job: Job) -> Expansion:
    return Expansion(f"{job.idea}, {ADDED}", ADDED, (job.idea,), "SmolLM2", 0.5)


async def expanded(world: World, prompt: str = "a red fox") -> Job:
    """A painted job with an expansion."""
    await world.imagine(prompt, seed=5)
    job = await world.claim()
    await world.app.jobs.save_expansion(job, expansion(job), expansion(job).text)
    await world.finish(job)
    return await world.delivered(job)


async def held(world: World) -> Job:
    """A job that waits for its owner's choice, as its message shows."""
    await world.imagine(expand="preview", seed=5)
    job = await world.claim()
    assert await world.app.jobs.hold(job, expansion(job), expansion(job).text)
    await world.settled(job, "Keep paints it")
    return await world.newest()


async def test_reroll_posts_a_new_request_with_another_seed_and_the_same_prompt(world: World) -> None:
    job = await expanded(world)
    result = await press(world, job, "reroll")
    again = await world.newest()
    assert result.response
    assert (result.ephemeral, again.message_id) == (False, result.response.id)
    assert (again.parent_id, again.prompt, again.status) == (job.id, job.prompt, JobStatus.QUEUED)
    assert again.generation.seed != 5
    await a_moment_passes(world.app.database)
    await press(world, job, "reroll")
    assert (await world.newest()).id == again.id + 1


async def test_raw_repeats_the_idea_with_the_same_seed(world: World) -> None:
    job = await expanded(world)
    await press(world, job, "raw")
    again = await world.newest()
    assert (again.idea, again.expand, again.prompt, again.generation.seed) == (job.idea, "off", None, 5)


async def test_details_are_private_complete_and_for_all_who_see_the_pictures(world: World) -> None:
    job = await expanded(world)
    await world.restart()
    for who in (world.bob, world.grace):
        result = await press(world, job, "details", who)
        assert result.response
        assert result.ephemeral
        assert result.response.embeds[0].title == f"Request {job.id}: succeeded"
    result = await press(world, job, "details")
    assert result.ephemeral
    assert result.response
    [embed] = result.response.embeds
    fields = {field.name: field.value for field in embed.fields}
    assert embed.title == f"Request {job.id}: succeeded"
    assert embed.description == f"**Idea**\na red fox\n\n**Prompt**\na red fox, {ADDED}\n\n**Added**\n{ADDED}"
    assert (fields["Seed"], fields["Model"], fields["Language model"]) == ("5", "doodle", "SmolLM2")
    assert (fields["Seconds"], fields["Attempts"]) == ("1.2", "1")
    assert {"Steps", "Guidance", "Size"} <= fields.keys()


async def test_details_show_a_choice_in_the_language_of_their_reader(world: World) -> None:
    job = await world.imagine("a red fox")
    with speaking("zh-CN"):
        assert {field.name: field.value for field in details(job, world.app.styles).fields}["扩写"] == "开"


async def test_a_refusal_tells_its_reason_to_its_owner_only(world: World) -> None:
    job = await world.imagine()
    await world.app.jobs.refuse(await world.claim(), "filter:expansion", "The expansion is not allowed.")
    job = await world.delivered(job)
    message = world.message(job)
    assert "red fox" not in text_of(message)
    assert "expansion" not in text_of(message)
    result = await press(world, job, "details")
    assert result.response
    assert "not allowed" in str(result.response.embeds[0].to_dict())
    assert told(await press(world, job, "details", world.bob)) == str(NotYours())


@pytest.mark.parametrize("owner", [True, False])
async def test_delete_takes_message_and_file_away(world: World, owner: bool) -> None:
    job = await expanded(world)
    file = world.app.images.path(job.images[0].sha256)
    assert file.exists()
    asked = await press(world, job, "delete", world.ada if owner else world.grace)
    assert told(asked).startswith(
        f"Request {job.id} (**a red fox**) is deleted with its pictures and its message if you"
    )
    assert file.exists()
    await world.delete(job, world.ada if owner else world.grace)
    assert world.channel.history() == []
    assert not file.exists()
    assert await world.app.history.count(world.ada.id) == 0


async def test_a_stranger_is_told_politely(world: World) -> None:
    job = await expanded(world)
    for verb in ("reroll", "raw", "delete"):
        assert told(await press(world, job, verb, world.bob)) == str(NotYours()), verb
        assert (await world.newest()).id == job.id
        assert world.message(job).attachments


async def test_cancel_before_and_while_painting(world: World) -> None:
    job = await world.imagine()
    assert told(await press(world, job, "cancel", world.bob)) == str(NotYours())
    assert told(await press(world, job, "cancel", world.grace)) == f"Request {job.id} (**a red fox**) is cancelled."
    job = await world.delivered(job)
    assert "Cancelled by a moderator." in text_of(world.message(job))
    assert labels(world.message(job)) == ["Reroll", "Remix", "Details", "Delete"]
    running = await world.imagine()
    await world.claim()
    assert (
        told(await press(world, running, "cancel")) == f"Request {running.id} (**a red fox**) stops at its next step."
    )
    await world.app.jobs.end_cancelled("painter")
    assert (await world.delivered(running)).status == JobStatus.CANCELLED


async def test_buttons_work_after_a_restart(world: World) -> None:
    painted, waiting = await expanded(world), await held(world)
    await world.restart()
    await press(world, painted, "reroll")
    assert (await world.newest()).parent_id == painted.id
    await press(world, waiting, "keep")
    assert (await world.app.jobs.get(waiting.id)).held_at is None
    await world.delete(painted)
    assert painted.message_id not in [message.id for message in world.channel.history()]


async def test_a_button_of_a_forgotten_job_says_so(world: World) -> None:
    job = await expanded(world)
    await world.app.history.delete(job.id)
    assert "not there any more" in told(await press(world, job, "reroll"))


async def test_an_unknown_error_is_answered_and_not_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret")

    job = await expanded(world)
    monkeypatch.setattr(type(world.app.history), "delete", broken)
    sentence = told(await world.delete(job))
    assert "because of an error in the bot" in sentence
    assert "secret" not in sentence


async def test_a_preview_shows_what_was_added_and_keep_paints_it(world: World) -> None:
    job = await held(world)
    message = world.message(job)
    assert text_of(message).startswith(f"**a red fox**\nAdded: *{ADDED}*\n")
    assert labels(message) == ["Keep", "Edit", "Again", "Raw", "Cancel"]
    assert await world.app.jobs.claim("painter", capacity=1) == []
    await press(world, job, "keep")
    assert labels(world.message(job)) == ["Cancel"]
    assert "queued" in text_of(world.message(job))
    claimed = await world.claim()
    assert (claimed.id, claimed.prompt) == (job.id, f"a red fox, {ADDED}")
    await world.finish(claimed)
    job = await world.delivered(job)
    assert len(world.channel.history()) == 1
    assert world.message(job).attachments


async def test_raw_paints_ones_own_words_in_the_style(world: World) -> None:
    await world.imagine(expand="preview", style="watercolor")
    job = await world.claim()
    await world.app.jobs.hold(job, expansion(job), "anything")
    await world.settled(job, "Keep paints it")
    await press(world, await world.newest(), "raw")
    claimed = await world.claim()
    assert claimed.prompt == world.app.styles.apply("watercolor", "a red fox")
    assert claimed.expanded
    assert claimed.expanded.added == ""


async def test_edit_paints_what_the_owner_wrote(world: World) -> None:
    job = await held(world)
    shown = await press(world, job, "edit")
    assert shown.modal
    assert f"a red fox, {ADDED}" in str(shown.modal)
    await world.ada.submit_modal(shown, {field(shown): "a red fox on a hill"})
    claimed = await world.claim()
    assert claimed.prompt == "a red fox on a hill"
    assert claimed.expanded
    assert claimed.expanded.added == "on a hill"


async def test_an_edit_passes_the_filter_and_a_flag_in_it_is_refused(world: World) -> None:
    await world.app.filters.add(world.guild.id, "gore", world.grace.id)
    job = await held(world)
    flag = "--ar is a flag, and no flag counts here any more; leave it out, or ask again with it."
    for words, sentence in (("a fox with gore", "filter:idea"), ("a red fox ——ar 3:2", flag)):
        shown = await press(world, job, "edit")
        result = await world.ada.submit_modal(shown, {field(shown): words})
        assert sentence in told(result)
        assert (await world.app.jobs.get(job.id)).held_at is not None


async def test_of_two_choices_one_wins(world: World) -> None:
    job = await held(world)
    before = world.message(job)
    shown = await press(world, job, "edit")
    await press(world, job, "keep")
    for result in (
        await stale_press(world, job, before, "keep"),
        await stale_press(world, job, before, "raw"),
        await stale_press(world, job, before, "another"),
        await stale_press(world, job, before, "edit"),
        await world.ada.submit_modal(shown, {field(shown): "something else"}),
    ):
        assert "made already" in told(result)
    assert (await world.claim()).prompt == f"a red fox, {ADDED}"


async def test_again_shows_another_expansion_with_its_additions_marked(world: World) -> None:
    job = await held(world)
    before = world.message(job)
    assert "up to 10 times more" in text_of(before)
    await press(world, job, "another")
    assert labels(world.message(job)) == ["Cancel"]
    assert "made already" in told(await stale_press(world, job, before, "another"))
    await world.restart()
    claimed = await world.claim()
    assert (claimed.id, claimed.prompt, claimed.more_expansions) == (job.id, None, 1)
    text = "soft light on a red fox in snow"
    await world.app.jobs.hold(claimed, Expansion(text, "soft light on … in snow", (), "m", 0.1), text)
    shown = await world.settled(job, "up to 9 times more")
    assert text_of(shown).startswith("**a red fox**\nPainted as: *soft light on* **a red fox** *in snow*\n")
    assert labels(shown) == ["Keep", "Edit", "Again", "Raw", "Cancel"]
    await press(world, job, "keep")
    assert (await world.claim()).prompt == text


async def test_again_is_offered_ten_times(world: World) -> None:
    job = await held(world)
    before = world.message(job)
    await press(world, job, "another")
    async with world.app.database.begin() as session:
        (await session.get_one(Job, job.id)).more_expansions = 10
    assert await world.app.jobs.hold(await world.claim(), expansion(job), expansion(job).text)
    await world.settled(job, "Keep paints it, Edit lets you change it, Raw")
    assert labels(world.message(job)) == ["Keep", "Edit", "Raw", "Cancel"]
    assert "10 times anew" in told(await stale_press(world, job, before, "another"))
    assert (await world.app.jobs.get(job.id)).held_at is not None


async def test_a_strangers_choice_does_not_count(world: World) -> None:
    job = await held(world)
    for verb in ("keep", "edit", "another", "raw", "cancel"):
        assert told(await press(world, job, verb, world.bob)) == str(NotYours()), verb
        assert (await world.app.jobs.get(job.id)).held_at is not None


async def stale_press(world: World, job: Job, before: discord.Message, verb: str) -> simcord.InteractionResult:
    """Press a button that a client still shows although the message has changed: Discord lets the click through."""
    stored = world.env.backend.get_message(before.channel.id, before.id)
    now, stored.components = stored.components, [dict(row.to_dict()) for row in before.components]
    try:
        return await press(world, job, verb)
    finally:
        stored.components = now


def field(shown: simcord.InteractionResult) -> str:
    """The custom id of a modal's only text field."""
    assert shown.modal
    [label] = shown.modal["components"]
    return label["component"]["custom_id"]
