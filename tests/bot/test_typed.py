"""What was typed comes back to its author when it was refused, and can be changed and sent again."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest
import simcord
from hypothesis import given
from hypothesis import strategies as st

from limner.bot.errors import BadOption, NotYours
from limner.bot.filters.rules import RuleKind
from limner.bot.storage.tables.models import Job
from limner.bot.translation import languages, speaking
from limner.bot.ui import typed
from limner.bot.ui.request.imagine_form import NO_PICTURE, read_options
from limner.generators.base import Expansion
from tests import other_clients
from tests.other_clients import told
from tests.simulated_discord import World, labels, png

FLAG = "a red fox --chaos 50"


def again(answer: simcord.InteractionResult) -> discord.Message:
    """The private answer with the button that opens the form."""
    message = answer.followups[-1] if answer.followups else answer.response
    assert message
    assert message.ephemeral
    assert "Change it" in labels(message.message)
    return message.message


async def change(world: World, message: discord.Message, **values: str) -> tuple[dict[str, Any], Any]:
    """Press the button; what the form holds then, and what follows when it is sent with other values."""
    [custom_id] = [
        item.custom_id
        for row in message.components
        for item in cast("discord.ActionRow", row).children
        if item.custom_id and ":again:" in item.custom_id
    ]
    shown = await world.ada.click(message, custom_id=custom_id)
    held = filled(shown)
    return held, await world.ada.submit_modal(shown, held | values)


def filled(shown: simcord.InteractionResult) -> dict[str, Any]:
    assert shown.modal
    parts = [label["component"] for label in shown.modal["components"]]
    values = {
        part["custom_id"]: part.get("value", "") or [one["value"] for one in part.get("options", ()) if one["default"]]
        for part in parts
    }
    return {name: value for name, value in values.items() if value}


async def waiting(world: World) -> Job:
    """A request that waits for its owner's choice."""
    job = await world.imagine(expand="preview", seed=5)
    await world.app.jobs.hold(await world.claim(), Expansion("a red fox, snow", "snow", (), "", 0.1), "a red fox, snow")
    await world.settled(job, "Keep paints it")
    return await world.newest()


async def edit(world: World, job: Job, text: str) -> simcord.InteractionResult:
    shown = await world.ada.click(world.message(job), custom_id=f"limner:edit:{job.id}")
    return await world.ada.submit_modal(shown, {"text": text})


async def test_a_refused_command_comes_back_with_all_its_options(world: World) -> None:
    options: dict[str, Any] = {"negative": "fog", "aspect": "3:2", "count": 2, "guidance": 2.5, "style": "noir"}
    answer = await world.ada.slash(world.channel, "imagine", prompt=FLAG, **options)
    assert told(answer) == "--chaos is not a flag here, and nothing here does the same; leave it out."
    await world.restart()
    held, result = await change(world, again(answer), prompt="a red fox --seed 7")
    assert held == {
        "prompt": FLAG,
        "negative": "fog",
        "options": "aspect: 3:2\ncount: 2\nguidance: 2.5\nstyle: noir",
    }
    job = await world.newest()
    assert (job.idea, job.generation.seed, job.generation.guidance_scale, job.samples) == ("a red fox", 7, 2.5, 2)
    assert (job.style, job.generation.negative_prompt[:5]) == ("noir", "fog, ")
    assert job.generation.width > job.generation.height
    assert (result.ephemeral, job.message_id) == (False, result.response.id)


async def test_what_is_still_wrong_comes_back_again(world: World) -> None:
    answer = await world.ada.slash(world.channel, "imagine", prompt=FLAG)
    _, answer = await change(world, again(answer), prompt="a red fox --wierd 5", options="steps: 4")
    assert "--wierd is no flag" in told(answer)
    held, answer = await change(world, again(answer), prompt="a red fox", options="steps: few")
    assert held == {"prompt": "a red fox --wierd 5", "options": "steps: 4"}
    assert told(answer) == "The option steps needs a whole number, such as 20."
    held, _ = await change(world, again(answer), options="steps: 4")
    assert held == {"prompt": "a red fox", "options": "steps: few"}
    assert ((await world.newest()).idea, (await world.newest()).steps) == ("a red fox", 4)


async def test_a_picture_has_to_be_attached_again_and_is_not_forgotten(world: World) -> None:
    answer = await world.ada.slash(world.channel, "imagine", prompt=FLAG, image=("my fox.png", png()))
    held, answer = await change(world, again(answer), prompt="a red fox")
    assert held["options"] == "image: my fox.png"
    assert told(answer) == NO_PICTURE.format(option="image")
    assert await world.app.history.count(None, every_status=True) == 0


async def test_what_is_too_long_for_a_form_comes_back_as_a_file(world: World) -> None:
    prompt = "a fox 狐 " * 700
    answer = await world.ada.slash(world.channel, "imagine", prompt=prompt, negative="fog")
    assert answer.response
    [file] = answer.response.attachments
    written = (await file.read()).decode()
    assert prompt.strip() in written
    assert written.endswith("Negative prompt:\nfog")
    assert labels(answer.response.message) == []


async def test_a_text_that_is_longer_than_the_limit_can_be_shortened_in_the_form(world: World) -> None:
    prompt = "a red fox in the snow. " * 100
    answer = await world.ada.slash(world.channel, "imagine", prompt=prompt)
    assert "at most 1500 are read" in told(answer)
    held, _ = await change(world, again(answer), prompt="a red fox")
    assert held["prompt"].strip() == prompt.strip()
    assert (await world.newest()).idea == "a red fox"


async def test_a_refused_edit_comes_back_and_is_painted(world: World) -> None:
    job = await waiting(world)
    answer = await edit(world, job, "a red fox ——ar 3:2")
    held, _ = await change(world, again(answer), text="a red fox on a hill")
    assert held == {"text": "a red fox ——ar 3:2"}
    assert (await world.claim()).prompt == "a red fox on a hill"


async def test_a_refused_remix_comes_back_with_the_settings_of_its_request(world: World) -> None:
    job = await world.painted(seed=5, steps=4)
    shown = await world.ada.click(world.message(job), custom_id=f"limner:remix:{job.id}")
    answer = await world.ada.submit_modal(shown, {"idea": "a blue fox --v 6", "negative": "fog"})
    held, _ = await change(world, again(answer), idea="a blue fox")
    assert held == {"idea": "a blue fox --v 6", "negative": "fog"}
    newest = await world.newest()
    assert (newest.idea, newest.generation.seed, newest.steps, newest.parent_id) == ("a blue fox", 5, 4, job.id)
    assert newest.generation.negative_prompt == "fog"


async def test_what_the_filter_refused_comes_back_from_its_row_and_stands_in_no_message(world: World) -> None:
    await world.app.filters.add(world.guild.id, "gore", world.grace.id)
    answer = await world.ada.slash(world.channel, "imagine", prompt="a fox with gore", seed=5, negative="fog")
    message = again(answer)
    assert "gore" not in str([message.content, *(embed.to_dict() for embed in message.embeds)])
    held, _ = await change(world, message, idea="a fox with a rose")
    assert held == {"idea": "a fox with gore", "negative": "fog"}
    newest = await world.newest()
    assert (newest.idea, newest.generation.seed, newest.status) == ("a fox with a rose", 5, "queued")


async def test_an_edit_that_the_filter_refused_is_edited_again(world: World) -> None:
    await world.app.filters.add(world.guild.id, "gore", world.grace.id)
    job = await waiting(world)
    message = again(await edit(world, job, "a red fox with gore"))
    assert "gore" not in str([message.content, *(embed.to_dict() for embed in message.embeds)])
    held, _ = await change(world, message, text="a red fox with a rose")
    assert held == {"text": "a red fox with gore"}
    claimed = await world.claim()
    assert (claimed.id, claimed.prompt) == (job.id, "a red fox with a rose")


async def test_nobody_opens_anothers_words(world: World) -> None:
    await world.app.filters.add(world.guild.id, "gore", world.grace.id)
    job = await waiting(world)
    await edit(world, job, "a red fox with gore")
    refused = await world.newest()
    for name in (f"limner:again:edit:{job.id}:{refused.id}", f"limner:again:remix:{refused.id}:0"):
        here = await world.bot.get_partial_messageable(world.channel.id).send(view=button(name))
        assert told(await other_clients.press(world, world.bob, here, name)) == str(NotYours())
    name = "limner:again:nonesuch:1:0"
    here = await world.bot.get_partial_messageable(world.channel.id).send(view=button(name))
    assert "not there any more" in told(await other_clients.press(world, world.bob, here, name))


def button(custom_id: str) -> discord.ui.View:
    return discord.ui.View(timeout=None).add_item(discord.ui.Button(label="x", custom_id=custom_id))


async def test_a_refused_rule_comes_back_as_it_was_filled_in(world: World) -> None:
    shown = await world.grace.slash(world.channel, "filter add")
    values = {"text": "a(", "kind": [RuleKind.REGEX], "action": ["flag"], "told": "No brackets.", "span": ["one day"]}
    answer = await world.grace.submit_modal(shown, values)
    message = again(answer)
    shown = await world.grace.click(message, label="Change it")
    assert filled(shown) == values
    await world.grace.submit_modal(shown, values | {"text": r"a\("})
    [rule] = await world.app.filters.all(world.guild.id)
    assert (rule.pattern, rule.reason, rule.action) == (r"a\(", "No brackets.", "flag")


async def test_other_commands_show_what_was_typed_if_it_was_long(world: World) -> None:
    text = "what somebody might ask for, and more"
    number = 10**10
    answer = await world.grace.slash(world.channel, "strike remove", strike=number)
    assert answer.response
    assert answer.response.embeds == []
    answer = await world.grace.slash(world.channel, "filter remove", rule=text)
    assert answer.response
    assert [field.value for field in answer.response.embeds[0].fields] == [text]
    answer = await world.ada.slash(world.channel, "cancel", request=number)
    assert answer.response
    assert answer.response.embeds == []


@pytest.mark.parametrize("line", ["nonesuch: 1", "count", "count 2", ": 2", "guild_id: 5", "text: a cat"])
def test_a_line_that_is_no_option_is_named(line: str):
    with pytest.raises(BadOption, match=re.escape(f"The line “{line}” is no option")):
        read_options(f"count: 2\n{line}")


def test_options_are_read_line_by_line():
    assert read_options(" count: 2 \n\nguidance: 2,5\nlora: ink:0.7\naspect:3:2") == {
        "count": "2",
        "guidance": "2,5",
        "lora": "ink:0.7",
        "aspect": "3:2",
    }


@given(st.dictionaries(st.sampled_from([*typed.HEADINGS]), st.text(min_size=1, max_size=1300), max_size=4))
def test_a_message_brings_back_what_it_shows(texts: dict[str, str]):
    for language in languages():
        with speaking(language):
            embeds = typed.embeds_of(texts)
        message = cast("discord.Message", SimpleNamespace(embeds=embeds))
        assert dict(typed.shown(message)) == texts


def test_typed_texts_have_headings_in_the_language_of_their_reader():
    with speaking("zh-CN"):
        [embed] = typed.embeds_of({"prompt": "狐狸", "style": "noir"})
    assert [field.name for field in embed.fields] == ["提示词", "风格"]
