"""What members with Manage Server choose with /server: it is shown, logged with undo, and it counts."""

import asyncio
import time

import discord
import pytest
import simcord
from sqlalchemy import select, update

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import NotAllowed, QuotaUsed
from limner.bot.guild_settings import GuildSettings
from limner.bot.moderation.quotas import limits_of
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.storage import audit_log
from limner.bot.storage.tables.models import Job
from limner.bot.ui.controls import parts_of
from limner.bot.worker.housekeeping import trim
from tests.other_clients import told
from tests.rows import new_job, painted
from tests.simulated_discord import World, text_of

HERE, DAY = 101, 86_400.0


async def turn(world: World, page: str) -> simcord.InteractionResult:
    """Open /server at a page."""
    shown = await world.grace.slash(world.channel, "server")
    assert shown.ephemeral
    assert shown.response
    return await world.grace.select(shown.response.message, [page], custom_id="limner:server:page")


def message(result: simcord.InteractionResult) -> discord.Message:
    assert result.response, result
    return result.response.message


def chosen(shown: discord.Message, name: str) -> list[str]:
    """What a list of the page shows as chosen."""
    [select] = [
        part for part in parts_of(shown) if isinstance(part, discord.SelectMenu) and str(part.custom_id).endswith(name)
    ]
    return [option.value for option in select.options if option.default] or [
        str(default.id) for default in select.default_values
    ]


async def settings(world: World) -> GuildSettings:
    return await world.app.guilds.get(world.guild.id)


async def test_every_page_shows_what_is_chosen_and_every_change_can_be_undone(world: World):
    grace, guild = world.grace, world.guild
    shown = await turn(world, "painting")
    shown = await grace.select(message(shown), ["off"], custom_id="limner:server:set:expand")
    assert chosen(message(shown), ":expand") == ["off"]
    form = await grace.click(message(shown), custom_id="limner:server:form:limits")
    shown = await grace.submit_modal(form, {"explicit_limit": "0,25", "explicit_limit_restricted": ""})
    form = await grace.click(message(shown), custom_id="limner:server:form:style")
    style = next(iter(world.app.styles.presets.values()))
    shown = await grace.submit_modal(form, {"text": style.title})
    assert f"**Style** {style.title}" in text_of(message(shown))
    now = await settings(world)
    assert (now.expand, now.explicit_limit, now.usual_options) == ("off", 0.25, {"style": style.name})
    assert (await world.imagine("a fox")).style == style.name

    role = guild.create_role("Helpers")
    shown = await turn(world, "review")
    shown = await grace.select(message(shown), [world.channel], custom_id="limner:server:review")
    assert "Everybody in this server can read the review channel" in text_of(message(shown))
    shown = await grace.select(message(shown), [role], custom_id="limner:server:moderators")
    assert chosen(message(shown), "moderators") == [str(role.id)]
    form = await grace.click(message(shown), custom_id="limner:server:form:strikes")
    numbers = {
        **{"review_days": "3", "strike_days": "9", "strike_limit": "0", "suspension_hours": "2"},
        "evasion_minutes": "a few",
    }
    refused = await grace.submit_modal(form, numbers)
    assert "must be a whole number from 1 to 1440" in told(refused)
    assert "a few" in str([embed.to_dict() for embed in message(refused).embeds])
    form = await grace.click(message(refused), label="Change it")
    shown = await grace.submit_modal(form, numbers | {"evasion_minutes": "5"})
    assert "Minutes for which refusals are compared: **5**" in text_of(message(shown))
    assert ((await settings(world)).review_days, (await settings(world)).strike_limit) == (3, 0)
    shown = await turn(world, "keeping")
    form = await grace.click(message(shown), custom_id="limner:server:form:keeping")
    shown = await grace.submit_modal(form, {"keep_days": "30", "refused_days": ""})
    assert "for 30 days" in text_of(message(shown))
    shown = await turn(world, "gallery")
    assert "There is no gallery channel" in text_of(message(shown))
    forum = guild.create_forum_channel("best-of")
    shown = await grace.select(message(shown), [forum], custom_id="limner:server:gallery")
    assert chosen(message(shown), "gallery") == [str(forum.id)]
    form = await grace.click(message(shown), label="Number of stars")
    shown = await grace.submit_modal(form, {"gallery_stars": "5"})
    assert "at least 5 members" in text_of(message(shown))
    shown = await grace.select(message(await turn(world, "gallery")), [], custom_id="limner:server:gallery")
    assert "There is no gallery channel" in text_of(message(shown))

    await world.restart()
    for change in (await audit_log.page(world.app.database, guild.id)).changes:
        await world.app.guilds.take_back(change, grace.id)
    assert await settings(world) == GuildSettings()


async def test_channels_and_roles_are_checked_for_commands_and_buttons(world: World):
    grace, guild = world.grace, world.guild
    painted = await world.painted("a fox")
    other, role = guild.create_text_channel("art"), guild.create_role("Painters")
    shown = await turn(world, "access")
    shown = await grace.select(message(shown), [other], custom_id="limner:server:channels:all")
    assert chosen(message(shown), "channels:all") == [str(other.id)]
    assert f"may be asked for in some channels only: <#{other.id}>" in await world.refused("a cow")
    pressed = await world.ada.click(world.message(painted), label="Reroll")
    assert "may be asked for in some channels only" in told(pressed)
    shown = await grace.select(message(shown), [], custom_id="limner:server:channels:all")
    shown = await grace.select(message(shown), ["model:doodle"], custom_id="limner:server:subject")
    shown = await grace.select(message(shown), [role], custom_id="limner:server:roles:model:doodle")
    assert "**The model doodle**" in text_of(message(shown))
    assert f"one of these roles: <@&{role.id}>" in await world.refused("a cow")
    painter = guild.add_member(world.env.create_user("pia"), roles=[role])
    assert (await world.imagine("a cow", painter)).user_id == painter.id


async def test_a_quota_is_typed_shown_and_kept(world: World):
    grace = world.grace
    shown = await turn(world, "quotas")
    assert "Nobody has a quota" in text_of(message(shown))
    form = await grace.click(message(shown), label="Everybody's quota")
    shown = await grace.submit_modal(form, {"pictures_day": "2"})
    assert "**Everybody** Pictures in 24 hours: 2" in text_of(message(shown))
    role = world.guild.create_role("Patrons")
    form = await grace.select(message(shown), [role], custom_id="limner:server:quota")
    shown = await grace.submit_modal(form, {"pictures_day": "100", "seconds_month": "3600"})
    assert f"<@&{role.id}>" in text_of(message(shown))
    await world.imagine("a fox", count=2)
    assert "You have had 2 of 2 pictures in 24 hours here" in await world.refused("a cow")
    assert "That alone is more than this server allows" in await world.refused("a cow", world.bob, count=3)
    patron = world.guild.add_member(world.env.create_user("pat"), roles=[role])
    for _ in range(2):
        await world.imagine("a fox", patron, count=2)


async def test_the_last_of_a_quota_goes_to_one_of_many_who_ask_at_once(app: App):
    await app.guilds.change(HERE, 1, quotas={"0": {"pictures_day": 2}})
    asks = [Ask(text=f"cat {number}", user_id=5, where=Where(HERE, 7)) for number in range(6)]
    told = await asyncio.gather(*(submit.imagine(app, ask) for ask in asks), return_exceptions=True)
    assert sum(isinstance(one, Job) for one in told) == 2
    refused = [str(one) for one in told if isinstance(one, QuotaUsed)]
    assert len(refused) == 4
    assert all(sentence.startswith("You have had 2 of 2 pictures") for sentence in refused)


async def test_changes_of_access_and_quotas_are_undone_from_the_log(world: World):
    grace = world.grace
    await grace.select(message(await turn(world, "access")), [world.channel], custom_id="limner:server:channels:all")
    form = await grace.click(message(await turn(world, "quotas")), label="Everybody's quota")
    await grace.submit_modal(form, {"pictures_day": "2"})
    form = await grace.click(message(await turn(world, "quotas")), label="Everybody's quota")
    await grace.submit_modal(form, {"pictures_day": "3"})
    await world.restart()
    log = message(await grace.slash(world.channel, "filter log"))
    assert "undo the newer change first" in told(await grace.select(log, ["2"], custom_id="limner:log:undo"))
    for change, quotas in (("3", {"0": {"pictures_day": 2}}), ("2", {}), ("1", {})):
        undone = await grace.select(log, [change], custom_id="limner:log:undo")
        assert f"Change {change} is undone" in told(undone)
        assert (await settings(world)).quotas == quotas
    assert await settings(world) == GuildSettings()


def test_the_most_generous_role_counts_and_then_everybody():
    quotas = {"0": {"pictures_day": 1}, "7": {"pictures_day": 5, "seconds_day": 9}, "8": {"pictures_day": 3}}
    server = GuildSettings(quotas=quotas)
    assert limits_of(server, Where(HERE, role_ids=(7, 8))) == {"pictures_day": 5}
    assert limits_of(server, Where(HERE, role_ids=(7,))) == quotas["7"]
    assert limits_of(server, Where(HERE, role_ids=(9,))) == quotas["0"]
    assert limits_of(GuildSettings(), Where(HERE)) == {}


@pytest.mark.parametrize("measure", ["pictures_day", "pictures_month", "seconds_day", "seconds_month"])
async def test_what_was_used_is_free_again_when_it_is_older(app: App, measure: str):
    await app.guilds.change(HERE, 1, quotas={"0": {measure: 1}})
    ask = Ask(text="a cat", user_id=5, where=Where(HERE, 7))
    await painted(app.jobs, new_job("a fox", 5, guild_id=HERE))
    elsewhere = Ask(text="a cat", user_id=5, where=Where(102, 7))
    assert (await submit.imagine(app, elsewhere)).id
    with pytest.raises(QuotaUsed):
        await submit.imagine(app, ask)
    age = (31 if measure.endswith("month") else 1.1) * DAY
    async with app.database.begin() as session:
        await session.execute(update(Job).values(created_at=time.time() - age))
    assert (await submit.imagine(app, ask)).id


async def test_two_requests_of_one_prompt_count_together(app: App):
    await app.guilds.change(HERE, 1, quotas={"0": {"pictures_day": 1}}, access={"describe": {"roles": [7]}})
    ask = Ask(text="a {red, blue} cat", user_id=5, where=Where(HERE, 7))
    with pytest.raises(QuotaUsed):
        await submit.submit_all(app, await submit.requests(app, ask))
    describe = Ask(text="", user_id=5, where=Where(HERE, 7), options={"image": "0" * 64})
    app.settings.__dict__["image_text_model"] = "pretrained:tiny"
    with pytest.raises(NotAllowed):
        await submit.describe(app, describe)


async def test_a_server_keeps_requests_for_its_days_only(app: App):
    jobs, history = app.jobs, app.history
    old = await painted(jobs, new_job("an old fox", guild_id=HERE))
    other = await painted(jobs, new_job("a fox elsewhere", guild_id=102))
    refused = await jobs.log_refusal(new_job("a cow", guild_id=HERE), "filter:idea", "No.")
    async with app.database.begin() as session:
        await session.execute(update(Job).values(created_at=time.time() - 10 * DAY))
    new = await painted(jobs, new_job("a new fox", guild_id=HERE))
    await app.guilds.change(HERE, 1, keep_days=11, refused_days=11)
    await trim(app)
    async with app.database.read() as session:
        ids = set(await session.scalars(select(Job.id).where(Job.deleted_at.is_(None))))
    assert ids == {old.id, other.id, refused.id, new.id}
    await app.guilds.change(HERE, 1, refused_days=9)
    await trim(app)
    assert {job.id for job in await history.page(None, every_status=True, limit=9)} == {old.id, other.id, new.id}
    await app.guilds.change(HERE, 1, keep_days=9)
    await trim(app)
    assert {job.id for job in await history.page(None, every_status=True, limit=9)} == {other.id, new.id}
    async with app.database.read() as session:
        assert (await session.get_one(Job, old.id)).idea == ""
