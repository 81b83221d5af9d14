"""The log of changes to the filter: who did what, how it was before, and undoing it."""

from __future__ import annotations

import re

import discord

from tests.bot.test_filter_commands import add, answer, command, fill, read, select, select_stale, told
from tests.simulated_discord import World


async def test_the_log_tells_who_did_what_and_undoes_it(world: World) -> None:
    rule = await add(world, "cow")
    await told(world, "remove", rule=str(rule.id))
    log = answer(await command(world, "log"))
    assert f"<@{world.grace.id}> removed rule {rule.id} `` cow ``" in (log.embeds[0].description or "")
    undone = await select(world, log, "limner:log:undo", "2")
    assert "Change 2 is undone" in read(undone)
    assert "filter:idea" in await world.refused("a cow")
    assert "no such change" in read(await select_stale(world, log, "99"))


async def test_the_log_says_in_words_how_it_was_and_is_now(world: World) -> None:
    rule = await add(world, "cow", reason="No @everyone.", when=["flag"])
    helpers = world.guild.create_role("Helpers")
    await fill(world, await command(world, "exempt", rule=str(rule.id)), not_in=[world.channel], not_for=[helpers])
    await fill(world, await command(world, "edit", rule=str(rule.id)), text="bull*", when=["log"], reason="")
    await world.app.guilds.change(
        world.guild.id, world.grace.id, moderator_role_ids=(helpers.id,), review_channel_id=world.channel.id
    )
    await world.app.filters.undo(world.guild.id, 3, world.grace.id)
    log = answer(await command(world, "log"))
    undone, settings, edited, exempted, added = re.split(r"\n(?=\*\*)", log.embeds[0].description or "")
    assert "undid a change of rule 1 `` cow ``" in undone
    assert settings.splitlines()[0].endswith("changed the settings")
    assert settings.splitlines()[1:] == [
        f"-# Moderators' roles: was only Manage Server and is now <@&{helpers.id}>.",
        f"-# Review channel: was none and is now <#{world.channel.id}>.",
    ]
    assert edited.splitlines()[0].endswith("changed rule 1 `` bull* ``")
    assert edited.splitlines()[1:] == [
        "-# Text: was `` cow `` and is now `` bull* ``.",
        "-# Action: was flag and is now log.",
        "-# Reason for the member: was “No @\u200beveryone.” and is now empty.",
    ]
    assert exempted.splitlines()[1:] == [
        f"-# Where it counts: was everywhere and is now not in <#{world.channel.id}>; not for <@&{helpers.id}>."
    ]
    assert added.endswith("added rule 1 `` cow ``")
    rows = [row for row in log.components if isinstance(row, discord.ActionRow)]
    [menu] = [item for row in rows for item in row.children if isinstance(item, discord.SelectMenu)]
    assert [option.label for option in menu.options] == [
        "5 undid a change of rule 1 cow",
        "4 changed the settings",
        "3 changed rule 1 bull*",
        "2 changed where rule 1 cow counts",
        "1 added rule 1 cow",
    ]
