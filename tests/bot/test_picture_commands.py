"""/pictures and the menu entry "Block this picture" as moderators meet them."""

import io

import pytest
from PIL import Image

from limner.bot.cogs.pictures import BLOCK, EMPTY, NO_PICTURE
from limner.bot.settings import Settings
from limner.bot.storage.pictures.perceptual_hash import PLAIN
from limner.bot.ui.interactions import OWNERS_ONLY
from tests.reviewing import show_to
from tests.simulated_discord import World, png


def drawing(side: int = 200, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(file, kind)
    return file.getvalue()


async def told(world: World, command: str, who: str = "grace", **options: object) -> str:
    """What the one who asked alone reads after a command."""
    result = await getattr(world, who).slash(world.channel, f"pictures {command}", **options)
    assert result.response
    assert result.ephemeral
    return result.response.content + "".join(embed.description or "" for embed in result.response.message.embeds)


async def let_in(world: World, name: str) -> None:
    """The owner lets ada use a command; what she may do there is the bot's to decide."""
    commands = await world.bot.tree.fetch_commands()
    world.guild.set_command_permissions(next(one for one in commands if one.name == name), {world.ada: True})


async def block(world: World, message: object, who: str = "grace") -> str:
    result = await getattr(world, who).context_menu(world.channel, BLOCK, message)
    messages = [result.response, *result.followups]
    assert all(message.ephemeral for message in messages if message)
    return "".join(message.content for message in messages if message)


async def test_the_limits_are_shown_and_changed(world: World, settings: Settings) -> None:
    assert "up to **0.5** explicit in ordinary channels and up to **0.9**" in await told(world, "limits")
    assert "up to **0.25** explicit" in await told(world, "limits", ordinary=0.25)
    assert "**0.25** explicit in ordinary channels and up to **0.75**" in await told(
        world, "limits", age_restricted=0.75
    )
    assert (await world.app.guilds.get(world.guild.id)).explicit_limit == 0.25


async def test_a_named_role_sees_the_limits_and_does_not_change_them(world: World) -> None:
    helpers = world.guild.create_role("Helpers")
    await show_to(world, helpers, "pictures")
    await world.app.guilds.change(world.guild.id, 1, moderator_role_ids=(helpers.id,))
    hal = world.guild.add_member(world.env.create_user("hal"), roles=[helpers])
    shown = await hal.slash(world.channel, "pictures limits")
    assert shown.response
    assert "up to **0.5** explicit" in shown.response.content
    refused = await hal.slash(world.channel, "pictures limits", ordinary=0.0, age_restricted=0.0)
    assert refused.response
    assert refused.response.content == OWNERS_ONLY
    assert (await world.app.guilds.get(world.guild.id)).explicit_limit is None


@pytest.mark.parametrize("command", ["limits", "blocked", "allow"])
async def test_members_may_not(world: World, command: str) -> None:
    await let_in(world, "pictures")
    options = {"number": 1} if command == "allow" else {}
    assert "Only members with Manage Server" in await told(world, command, who="ada", **options)


async def test_a_members_picture_is_blocked_listed_and_allowed_again(world: World) -> None:
    assert await told(world, "blocked") == EMPTY
    message = await world.bob.send(world.channel, "look", attachments=[("a.png", drawing())])
    assert "/pictures blocked lists it as number 1" in await block(world, message)
    assert "**1** · a.png" in await told(world, "blocked")
    row = await _first(world)
    nearest = await world.app.blocked.nearest(world.guild.id, [row.hashes], 0)
    assert nearest
    assert (nearest.number, nearest.bits) == (row.id, 0)
    await told(world, "allow", number=1)
    assert await told(world, "blocked") == EMPTY
    assert "There is no such picture" in await told(world, "allow", number=1)


async def test_a_painted_picture_is_blocked_by_its_message(world: World) -> None:
    await world.imagine()
    job = await world.claim()
    sha256 = world.app.images.save(drawing(64))
    await world.finish(job)
    job = await world.delivered(await world.newest())
    job.images[0].sha256 = sha256
    async with world.app.database.begin() as session:
        await session.merge(job.images[0])
    assert "lists it as number 1" in await block(world, world.message(job))
    assert (await _first(world)).job_id == job.id


async def test_one_of_several_is_chosen(world: World) -> None:
    await world.imagine(count=2)
    [job] = await world.app.jobs.claim("painter", capacity=4)
    await world.finish(job, count=2)
    job = await world.delivered(await world.newest())
    result = await world.grace.context_menu(world.channel, BLOCK, world.message(job))
    assert result.response
    chosen = await world.grace.select(result.response.message, ["2"])
    assert chosen.response
    assert chosen.response.content == PLAIN  # what the tests paint is one colour


async def test_what_cannot_be_blocked_is_told(world: World) -> None:
    words = await world.bob.send(world.channel, "no picture")
    assert await block(world, words) == NO_PICTURE
    plain = await world.bob.send(world.channel, "", attachments=[("a.png", png((64, 64)))])
    assert await block(world, plain) == PLAIN
    await let_in(world, BLOCK)
    assert "Only members with Manage Server" in await block(world, words, who="ada")


async def _first(world: World):
    return (await world.app.blocked.every(world.guild.id))[0]
