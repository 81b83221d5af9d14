"""/help: what members and moderators read, and what a host bot's own commands are to it."""

from typing import Any

import discord
import simcord
from discord import app_commands

from tests.simulated_discord import World, labels


async def pages(world: World, who: simcord.MemberActor) -> list[str]:
    """Every page that /help has for somebody; its footer says how to begin."""
    result = await who.slash(world.channel, "help")
    assert result.response
    assert result.ephemeral
    found = [result.response.embeds[0]]
    message: discord.Message = result.response.message
    while "Next" in labels(message):
        turned = await who.click(message, label="Next")
        message = turned.response.message if turned.response else message
        found.append(message.embeds[0])
    assert all("Begin with /imagine" in str(page.footer.text) for page in found)
    return [str(page.description) for page in found]


async def test_a_member_reads_what_members_can_do(world: World) -> None:
    page = "\n".join(await pages(world, world.ada))
    lines = page.splitlines()
    assert "**/queue** · Show your waiting and running requests: position and time left." in lines
    assert r"**/wildcards** · Show the lists that \_\_name\_\_ in a prompt chooses from." in lines
    for menu in ("Describe", "Start from this", "Vary", "Upscale", "Adjust", "Details", "Reuse settings"):
        assert f"**{menu}** · in a message's menu, under Apps" in lines
    for name in ("imagine", "history", "cancel", "describe", "upscale", "enhance", "uploads", "me", "help"):
        assert f"**/{name}** · " in page
    assert "filter" not in page


async def test_a_moderator_reads_the_rest_too_page_by_page(world: World) -> None:
    [first, *more] = await pages(world, world.grace)
    assert more
    assert "**/imagine** · " in first
    every = "\n".join([first, *more])
    for name in ("filter add", "review list", "strike add", "pictures limits"):
        assert f"**/{name}** · " in every
    assert "**Block this picture** · " in every


async def test_a_named_role_makes_a_moderator_of_a_member(world: World) -> None:
    role = world.guild.create_role("Keepers")
    await world.app.guilds.change(world.guild.id, world.grace.id, moderator_role_ids=[role.id])
    keeper = world.guild.add_member(world.env.create_user("kim"), roles=[role])
    assert "**/filter add** · " in "\n".join(await pages(world, keeper))


async def test_the_commands_of_a_host_are_not_ours(world: World) -> None:
    async def throw(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message("6")

    world.bot.tree.add_command(app_commands.Command(name="dice", description="Throw dice.", callback=throw))
    assert "dice" not in "\n".join(await pages(world, world.ada))
