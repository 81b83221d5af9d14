"""A server's own styles: added, changed and removed on /server, offered there only, read by its filter, undone."""

import discord
import pytest
import simcord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption, BadRule, Refused, UnknownStyle
from limner.bot.guild_settings import GuildSettings
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.server_styles import MOST, changed, removed, styles_at
from limner.bot.worker.prepare import settle_prompt
from limner.generators.language.expanders import NoExpander
from tests.other_clients import told
from tests.simulated_discord import World, text_of

NOIR = {"title": "Neon Noir", "around": "{prompt}, neon noir, rainy streets", "style_negative": "daylight"}
HERE = 101


def message(result: simcord.InteractionResult) -> discord.Message:
    assert result.response, result
    return result.response.message


async def page(world: World) -> discord.Message:
    shown = await world.grace.slash(world.channel, "server")
    return message(await world.grace.select(message(shown), ["styles"], custom_id="limner:server:page"))


async def offered(world: World, channel: simcord.ChannelHandle, who: simcord.MemberActor) -> list[str]:
    return [choice["value"] for choice in await who.autocomplete(channel, "imagine", "style", "neon n")]


async def test_a_style_is_added_used_changed_removed_and_undone(world: World):
    grace, ada, app = world.grace, world.ada, world.app
    form = await grace.click(await page(world), label="Add a style")
    refused = await grace.submit_modal(form, NOIR | {"around": "neon noir"})
    assert "must have {prompt} in it once" in told(refused)
    form = await grace.click(message(refused), label="Change it")
    shown = await grace.submit_modal(form, NOIR)
    assert "**Neon Noir** {prompt}, neon noir, rainy streets" in text_of(message(shown))
    assert await offered(world, world.channel, ada) == ["neon-noir"]

    job = await world.imagine("a taxi", style="Neon Noir")
    assert (job.style, job.request["negative_prompt"]) == ("neon-noir", "daylight")
    assert await settle_prompt(app, NoExpander(), await world.claim())
    assert (await app.jobs.get(job.id)).prompt == "a taxi, neon noir, rainy streets"
    other = world.env.create_guild("Elsewhere")
    eve = other.add_member(world.env.create_user("eve"))
    away = other.create_text_channel("art")
    assert await offered(world, away, eve) == []
    missing = await eve.slash(away, "imagine", prompt="a taxi", style="neon-noir")
    assert "That style is not known" in told(missing)

    await world.restart()
    opened = await grace.select(await page(world), ["neon-noir"], custom_id="limner:server:style:change")
    await grace.submit_modal(opened, NOIR | {"title": "Slate", "style_negative": ""})
    assert [*(await world.app.guilds.get(world.guild.id)).own_styles] == ["slate"]
    await grace.select(await page(world), ["slate"], custom_id="limner:server:style:remove")
    assert "That style is not known" in await world.refused("a taxi", style="slate")
    log = message(await grace.slash(world.channel, "filter log"))
    assert "Styles of this server: was Neon Noir and is now Slate" in str(log.embeds[0].description)
    for change in ("3", "2"):
        await grace.select(log, [change], custom_id="limner:log:undo")
    assert (await world.imagine("a taxi", style="neon-noir")).style == "neon-noir"


async def test_a_change_of_one_style_is_undone_whatever_became_of_the_others(app: App):
    async def change(old: str, title: str, prompt: str) -> None:
        await app.guilds.change(7, 1, **await changed(app, 7, old, title, prompt, ""))

    async def styles() -> dict[str, str]:
        return {name: style["prompt"] for name, style in (await app.guilds.get(7)).own_styles.items()}

    for title in ("Oil", "Ink"):
        await change("", title, "{prompt}, wet")
    await change("ink", "Ink", "{prompt}, dry")
    with pytest.raises(BadRule, match="undo the newer change first"):
        await app.filters.undo(7, 2, 1)
    await app.filters.undo(7, 1, 1)
    assert await styles() == {"ink": "{prompt}, dry"}
    await app.filters.undo(7, 3, 1)
    assert await styles() == {"ink": "{prompt}, wet"}
    await app.guilds.change(7, 1, **removed(await app.guilds.get(7), "ink"))
    for number in range(MOST):
        await change("", f"Style {number}", "{prompt}, wet")
    with pytest.raises(BadRule, match="no room for what this would bring back"):
        await app.filters.undo(7, 6, 1)
    assert len(await styles()) == MOST


async def test_a_form_changes_its_own_style_whatever_others_do_meanwhile(world: World):
    guild, app, select = world.guild.id, world.app, "limner:server:style:change"
    for title in ("Oil", "Slate", "Ink"):
        await app.guilds.change(guild, 1, **await changed(app, guild, "", title, "{prompt}, wet", ""))
    slate = await world.grace.select(await page(world), ["slate"], custom_id=select)
    oil = await world.grace.select(await page(world), ["oil"], custom_id=select)
    await app.guilds.change(guild, 1, **removed(await app.guilds.get(guild), "oil"))
    await world.grace.submit_modal(slate, {"title": "Slate", "around": "{prompt}, dry", "style_negative": ""})
    gone = await world.grace.submit_modal(oil, {"title": "Oil", "around": "{prompt}, dry", "style_negative": ""})
    assert "no such style any more" in told(gone)
    styles = (await app.guilds.get(guild)).own_styles
    assert [(name, style["prompt"]) for name, style in styles.items()] == [
        ("slate", "{prompt}, dry"),
        ("ink", "{prompt}, wet"),
    ]
    for old in ("", "ink"):
        with pytest.raises(BadOption, match="style of that name already"):
            await changed(app, guild, old, "slate", "{prompt}, other", "")


async def test_the_filter_reads_a_styles_words_when_it_is_saved_and_when_it_is_used(app: App):
    rule = await app.filters.add(HERE, "cow", 1)
    with pytest.raises(BadOption, match="filter of this server"):
        await changed(app, HERE, "", "Ranch", "{prompt}, cow", "")
    with pytest.raises(BadOption, match="filter of this server"):
        await changed(app, HERE, "", "Ranch", "{prompt}, grass", "cow")
    await app.filters.remove(HERE, rule.id, 1)
    await app.guilds.change(HERE, 1, **await changed(app, HERE, "", "Ranch", "{prompt}, cow", ""))
    await app.filters.add(HERE, "cow", 1)
    ask = Ask(text="a hill", user_id=5, where=Where(HERE, 7), options={"style": "ranch"})
    with pytest.raises(Refused):
        await submit.imagine(app, ask)


async def test_it_is_the_servers_usual_style_and_a_removed_one_is_left_out(app: App):
    await app.guilds.change(HERE, 1, **await changed(app, HERE, "", "Slate", "{prompt}, slate", ""))
    await app.guilds.change(HERE, 1, usual_options={"style": "slate"})
    ask = Ask(text="a hill", user_id=5, where=Where(HERE, 7))
    assert (await submit.imagine(app, ask)).style == "slate"
    await app.guilds.change(HERE, 1, own_styles={})
    assert (await submit.imagine(app, ask)).style == ""


async def test_a_style_that_goes_while_a_request_waits_ends_it_with_a_sentence(app: App):
    await app.guilds.change(HERE, 1, **await changed(app, HERE, "", "Slate", "{prompt}, slate", ""))
    await submit.imagine(app, Ask(text="a hill", user_id=5, where=Where(HERE, 7), options={"style": "slate"}))
    await app.guilds.change(HERE, 1, own_styles={})
    [job] = await app.jobs.claim("w", capacity=1)
    with pytest.raises(UnknownStyle):
        await settle_prompt(app, NoExpander(), job)


async def test_there_is_room_for_as_many_as_a_list_shows(app: App):
    for number in range(MOST):
        changes = await changed(app, HERE, "", f"Style {number}", "{prompt}, ink", "")
        await app.guilds.change(HERE, 1, **changes)
    with pytest.raises(BadOption, match="25 styles, which is the most"):
        await changed(app, HERE, "", "One more", "{prompt}, ink", "")
    assert await changed(app, HERE, "style-3", "Another name", "{prompt}, ink", "")
    with pytest.raises(BadOption, match="needs a letter or a digit"):
        await changed(app, HERE, "", " - ", "{prompt}, ink", "")
    assert styles_at(app, None) is app.styles
    assert GuildSettings().own_styles == {}
