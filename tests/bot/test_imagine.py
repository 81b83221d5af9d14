"""/imagine, /queue and /cancel as members meet them: one public answer, or one private sentence."""

import sqlite3
import threading
from contextlib import closing
from typing import Any

import discord
import pytest

from limner.bot.errors import NotYours
from limner.bot.reasons import JobStatus
from limner.bot.ui.delivery import delivery
from limner.bot.ui.job.job_details import details
from limner.generators.requests import SEEDS
from tests.rows import put_lora
from tests.simulated_discord import World, labels, text_of


async def test_the_answer_is_public_and_names_the_place(world: World) -> None:
    job = await world.imagine("a red fox in the snow")
    message = world.message(job)
    assert text_of(message) == "**a red fox in the snow**\n-# queued · next in line"
    assert labels(message) == ["Cancel"]
    assert (job.user_id, job.channel_id, job.guild_id) == (world.ada.id, world.channel.id, world.guild.id)
    assert len(world.channel.history()) == 1


async def test_a_request_waits_while_another_process_writes(world: World) -> None:
    await world.imagine("a fox")
    with closing(sqlite3.connect(world.settings.data / "limner.db", check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.5, other.rollback)
        done.start()
        await world.imagine("a hen")
        done.join()


async def test_every_option_reaches_the_row(world: World) -> None:
    options: dict[str, Any] = {"negative": "fog", "aspect": "3:2", "count": 2, "seed": 7, "steps": 9, "guidance": 2.5}
    job = await world.imagine("a red fox", **options, style="watercolor", model="doodle", expand="off")
    request = job.generation
    assert (request.num_images_per_prompt, request.seed, request.num_inference_steps) == (2, 7, 9)
    assert (request.guidance_scale, request.model, job.style, job.expand) == (2.5, "doodle", "watercolor", "off")
    assert request.negative_prompt.startswith("fog")
    assert (request.width, request.height) == world.settings.default_card.size((3, 2))
    assert job.locale == "en-US"


async def test_place_and_time_are_told_honestly(world: World) -> None:
    await world.painted("first")
    for who in (world.bob, world.grace):
        await world.imagine("next", who)
    job = await world.imagine("third", world.ada)
    steps = job.steps
    assert f"3rd in line · about {round(3 * steps * 1.0 / steps)} s" in text_of(world.message(job))


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("--seed 7", "only flags"),
        ("\u200b\u200e", "invisible"),
        ("a fox --sed 7", "not a flag"),
        ("fox " * 500, "at most 1500"),
    ],
)
async def test_a_bad_prompt_is_one_private_sentence_and_no_row(world: World, prompt: str, told: str) -> None:
    assert told in await world.refused(prompt)
    assert await world.app.history.count(None, every_status=True) == 0


async def test_limits_and_unknown_names_are_told(world: World) -> None:
    assert "steps must be from 1 to 50" in await world.refused(steps=99)
    assert "choose one of: doodle" in await world.refused(model="dall-e")
    assert "style is not known" in await world.refused(style="xyzzy")
    for _ in range(world.settings.max_jobs_per_user):
        await world.imagine()
    assert "3 requests waiting or running" in await world.refused()


async def test_discord_itself_enforces_the_ranges(world: World) -> None:
    command = world.bot.tree.get_command("imagine")
    assert isinstance(command, discord.app_commands.Command)
    ranges = {option.name: (option.min_value, option.max_value) for option in command.parameters}
    assert ranges["seed"] == (0, SEEDS - 1)
    assert ranges["count"] == (1, 4)


async def test_a_refusal_is_private_echoes_nothing_and_is_kept(world: World) -> None:
    await world.app.filters.add(world.guild.id, "gore", world.grace.id)
    sentence = await world.refused("a fox with gore")
    assert "filter:idea" in sentence
    assert "gore" not in sentence
    job = await world.newest()
    assert (job.status, job.reason_code) == (JobStatus.REFUSED, "filter:idea")
    assert world.channel.history() == [] or all(message.flags.ephemeral for message in world.channel.history())


async def test_nobody_is_pinged_and_nothing_is_formatted(world: World) -> None:
    role = world.guild.create_role("everybody")
    prompt = f"# @everyone @here {world.bob.mention} {role.mention} **fox** [x](https://evil.example) \u202ereverse"
    job = await world.imagine(prompt)
    await world.finish(await world.claim())
    queued = world.message(job)
    job = await world.delivered(job)
    for message in (queued, world.message(job)):
        assert not message.mention_everyone
        assert (message.raw_mentions, message.raw_role_mentions) == ([], [])
        assert "\u202e" not in text_of(message)
        assert "\\*\\*fox\\*\\*" in text_of(message)
        assert message.flags.suppress_embeds or not message.content


@pytest.mark.slow
async def test_a_long_idea_is_cut(world: World) -> None:
    job = await world.imagine("_*" * 700)
    content = text_of(world.message(job))
    assert len(content) < 600
    assert "…" in content


async def test_in_a_direct_message(world: World) -> None:
    user = world.ada.user
    result = await user.slash("imagine", prompt="a red fox")
    assert not result.ephemeral
    job = await world.newest()
    assert (job.guild_id, job.channel_id) == (None, user.dm_channel.id)
    await world.finish(await world.claim())
    await world.delivered(job)
    [message] = user.dm_channel.history()
    assert len(message.attachments) == 1


async def test_styles_and_models_are_suggested(world: World) -> None:
    styles = await world.ada.autocomplete(world.channel, "imagine", "style", "water")
    assert styles[0]["value"] == "watercolor"
    assert len(await world.ada.autocomplete(world.channel, "imagine", "style", "")) == 25
    models = await world.ada.autocomplete(world.channel, "imagine", "model", "dood")
    assert [choice["value"] for choice in models] == ["doodle"]
    assert await world.ada.autocomplete(world.channel, "imagine", "model", "zzz") == []


async def test_the_loras_of_the_model_are_offered_and_worn(world: World) -> None:
    put_lora(world.settings, "ink")
    found = await world.ada.autocomplete(world.channel, "imagine", "lora", "i")
    assert [choice["value"] for choice in found] == ["ink"]
    job = await world.imagine("a red fox", lora="ink:0.5")
    assert job.generation.loras == (("ink", 0.5),)
    assert {field.name: field.value for field in details(job, world.app.styles).fields}["LoRA"] == "ink:0.5"
    assert "choose one of: ink" in await world.refused(lora="gold")


async def test_an_accepted_request_survives_a_failing_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "ADOPT_AFTER", 0.0)
    world.env.inject_error("POST", "/interactions/*/callback", status=500)
    await world.ada.slash(world.channel, "imagine", prompt="a red fox")
    job = await world.newest()
    assert job.message_id is None
    await world.finish(await world.claim())
    job = await world.delivered(job)
    [message] = world.channel.history()
    assert message.id == job.message_id
    assert text_of(message).startswith(f"<@{world.ada.id}>\n**a red fox**")
    assert message.raw_mentions in ([], [world.ada.id])
    assert len(message.attachments) == 1


async def test_what_another_process_answered_is_not_answered_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = discord.InteractionResponse[Any].send_message

    async def second(self: Any, text: str, **look: Any) -> Any:
        await send(self, "the first process's answer")
        self._response_type = None
        return await send(self, text, **look)

    monkeypatch.setattr(discord.InteractionResponse, "send_message", second)
    await world.ada.slash(world.channel, "imagine", prompt="a red fox")
    job = await world.newest()
    assert (job.status, job.message_id) == (JobStatus.CANCELLED, None)
    assert job.delivered_at
    assert [text_of(message) for message in world.channel.history()] == ["the first process's answer"]


async def test_an_answer_whose_receipt_was_lost_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send = discord.InteractionResponse[Any].send_message

    async def retried(self: Any, text: str, **look: Any) -> Any:
        await send(self, text, **look)
        self._response_type = None
        return await send(self, text, **look)

    monkeypatch.setattr(discord.InteractionResponse, "send_message", retried)
    await world.ada.slash(world.channel, "imagine", prompt="a red fox")
    job = await world.newest()
    [message] = world.channel.history()
    assert (job.status, job.message_id) == (JobStatus.QUEUED, message.id)


async def test_the_queue_is_private_and_lists_ones_own(world: World) -> None:
    await world.imagine("a blue boat", world.bob)
    first, second = await world.imagine("a red fox"), await world.imagine("a green hat")
    result = await world.ada.slash(world.channel, "queue")
    assert result.ephemeral
    assert result.response
    [embed] = result.response.embeds
    assert str(embed.description).splitlines() == [
        f"**{first.id}** · a red fox · 2nd in line",
        f"**{second.id}** · a green hat · 3rd in line",
    ]
    assert embed.footer.text == "Everybody's together: 3 waiting, 0 running."


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("disk", "disk is full"), pytest.param("readonly", "cannot store pictures", marks=pytest.mark.slow)],
)
async def test_the_queue_says_that_nothing_can_be_painted(world: World, trouble: str, words: str) -> None:
    await world.imagine("a red fox")
    said: dict[str, Any] = {"device": "cpu", "weights": [], "room": 1, "painting": None}
    await world.app.worker_registry.report("painter", **said, trouble=trouble)
    result = await world.ada.slash(world.channel, "queue")
    assert result.response
    assert words in str(result.response.embeds[0].footer.text)


async def test_an_empty_queue_says_so(world: World) -> None:
    result = await world.ada.slash(world.channel, "queue")
    assert result.response
    assert "no request" in str(result.response.embeds[0].description)


async def test_cancel_ends_the_only_request(world: World) -> None:
    job = await world.imagine()
    result = await world.ada.slash(world.channel, "cancel")
    assert result.response
    assert (result.ephemeral, result.response.content) == (True, f"Request {job.id} (**a red fox**) is cancelled.")
    job = await world.delivered(job)
    assert job.status == JobStatus.CANCELLED
    assert "Cancelled by the member who asked for it." in text_of(world.message(job))


async def test_cancel_obeys_moderators_in_their_own_channel_only(world: World) -> None:
    here = await world.imagine(who=world.ada)
    result = await world.bob.slash(world.channel, "cancel", request=here.id)
    assert result.response
    assert result.response.content == str(NotYours())
    elsewhere = world.guild.create_text_channel("elsewhere")
    result = await world.grace.slash(elsewhere, "cancel", request=here.id)
    assert result.response
    assert result.response.content == str(NotYours())
    result = await world.grace.slash(world.channel, "cancel", request=here.id)
    assert result.response
    assert result.response.content == f"Request {here.id} (**a red fox**) is cancelled."
    assert (await world.app.jobs.get(here.id)).reason == "Cancelled by a moderator."


async def test_cancel_asks_which_and_suggests(world: World) -> None:
    first, second = await world.imagine("a red fox"), await world.imagine("a green hat")
    result = await world.ada.slash(world.channel, "cancel")
    assert result.response
    assert "choose which" in result.response.content
    found = await world.ada.autocomplete(world.channel, "cancel", "request", "hat")
    assert [choice["value"] for choice in found] == [second.id]
    await world.ada.slash(world.channel, "cancel", request=first.id)
    assert (await world.delivered(first)).status == JobStatus.CANCELLED


async def test_a_running_request_is_asked_to_stop(world: World) -> None:
    job = await world.imagine()
    await world.claim()
    result = await world.ada.slash(world.channel, "cancel", request=job.id)
    assert result.response
    assert result.response.content == f"Request {job.id} (**a red fox**) stops at its next step."
    assert await world.app.jobs.end_cancelled("painter") == {job.id}
    assert (await world.delivered(job)).status == JobStatus.CANCELLED


async def test_nobody_cancels_a_strangers_request(world: World) -> None:
    job = await world.imagine()
    result = await world.bob.slash(world.channel, "cancel", request=job.id)
    assert result.response
    assert "Only the person who asked" in result.response.content
    assert (await world.app.jobs.get(job.id)).status == JobStatus.QUEUED
