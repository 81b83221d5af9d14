"""What members choose for all their requests, with /settings, and that it counts."""

from typing import Any

import discord
import pytest
import simcord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.ui.controls import parts_of
from tests.simulated_discord import World, text_of


def chosen(message: discord.Message) -> dict[str, str]:
    """What each list of the screen shows as chosen."""
    selects = [part for part in parts_of(message) if isinstance(part, discord.SelectMenu)]
    return {
        str(select.custom_id).split(":")[-1]: next(option.value for option in select.options if option.default)
        for select in selects
    }


async def screen(world: World, who: Any = None) -> simcord.InteractionResult:
    shown = await (who or world.ada).slash(world.channel, "settings")
    assert shown.ephemeral
    return shown


async def test_what_a_member_chooses_is_shown_and_counts_after_a_restart(world: World):
    ada, app = world.ada, world.app
    shown = await screen(world)
    assert shown.response
    assert chosen(shown.response.message) == {
        **dict.fromkeys(("model", "aspect", "expand", "language"), "-"),
        **{"count": "1", "quality": "standard", "private": "off", "faces": "off", "training": "off", "uploads": "off"},
    }
    wanted = {"aspect": "16:9", "count": "2", "expand": "off", "faces": "on", "training": "on", "uploads": "on"}
    for name, value in wanted.items():
        shown = await ada.select(shown.response.message, [value], custom_id=f"limner:mine:{name}")
        assert shown.response
    await world.restart()
    shown = await ada.slash(world.channel, "settings")
    assert shown.response
    assert wanted.items() <= chosen(shown.response.message).items()
    rated = await world.app.ratings.settings(ada.id)
    assert (rated.is_shown, rated.is_training) == (True, True)
    assert await world.app.members.lends_uploads(ada.id)

    job = await world.imagine("a fox")
    assert (job.samples, job.expand, job.request["width"] > job.request["height"]) == (2, "off", True)
    said = await world.imagine("a fox --ar 2:3", count=1, expand="on")
    assert (said.samples, said.expand, said.request["width"] < said.request["height"]) == (1, "on", True)
    others = await world.imagine("a fox", world.bob)
    assert (others.samples, others.expand) == (1, "on")
    assert app.settings.default_card.name == others.request["model"]


async def test_a_style_is_typed_and_what_is_not_on_offer_comes_back(world: World):
    ada = world.ada
    shown = await screen(world)
    assert shown.response
    form = await ada.click(shown.response, label="Change")
    refused = await ada.submit_modal(form, {"text": "oil on velvet"})
    assert refused.response
    assert "“oil on velvet” is not on offer" in refused.response.content
    form = await ada.click(refused.response, label="Change it")
    style = next(iter(world.app.styles.presets.values()))
    done = await ada.submit_modal(form, {"text": style.title.upper()})
    assert done.response
    assert f"**Style** {style.title}" in text_of(done.response.message)
    assert (await world.app.members.usual(ada.id)).options == {"style": style.name}
    assert (await world.imagine("a fox")).style == style.name
    again = await screen(world)
    assert again.response
    assert f"**Style** {style.title}" in text_of(again.response.message)
    form = await ada.click(again.response, label="Change")
    await ada.submit_modal(form, {"text": ""})
    assert (await world.app.members.usual(ada.id)).options == {}


async def test_private_by_default_answers_the_member_alone(world: World):
    await world.app.members.choose(world.ada.id, "private", "on")
    answer = await world.ada.slash(world.channel, "imagine", prompt="a fox")
    assert answer.ephemeral
    assert (await world.newest()).is_private


@pytest.mark.parametrize(
    "usual", [{"model": "gone"}, {"style": "gone"}, {"quality": "fine"}, {"count": "9"}, {"aspect": "90:1"}]
)
async def test_what_cannot_be_painted_any_more_is_left_out(app: App, usual: dict[str, str]):
    for name, value in usual.items():
        await app.members.choose(5, name, value)
    job = await submit.imagine(app, Ask(text="a cat", user_id=5, where=Where(channel_id=1)))
    assert job.samples == 1


async def test_a_given_picture_keeps_its_shape_and_a_remix_its_options(app: App):
    await app.members.choose(5, "aspect", "16:9")
    await app.members.choose(5, "count", "2")
    ask = Ask(text="a cat", user_id=5, options={"image": "0" * 64}, where=Where(channel_id=1))
    assert "aspect" not in (await submit.with_usual_options(app, ask)).options
    remix = Ask(text="a cat", user_id=5, remix_of=1, where=Where(channel_id=1))
    assert (await submit.with_usual_options(app, remix)).options == {"expand": "on"}
