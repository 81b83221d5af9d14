"""/filter as moderators meet it, and what members notice of it."""

import re

import discord
import pytest
import simcord

from tests.simulated_discord import World


async def told(world: World, command: str, **options: object) -> str:
    """What the moderator alone reads after a command."""
    result = await world.grace.slash(world.channel, f"filter {command}", **options)
    assert result.response
    assert result.ephemeral
    return result.response.content


async def listed(world: World, **options: object) -> discord.Embed:
    result = await world.grace.slash(world.channel, "filter list", **options)
    assert result.response
    assert result.ephemeral
    [embed] = result.response.message.embeds
    return embed


async def patterns(world: World) -> list[str]:
    return [rule.pattern for rule in (await world.app.filters.page(world.guild.id)).rules]


async def test_a_rule_holds_from_the_moment_it_is_added_until_it_is_removed(world: World) -> None:
    await world.imagine("a purple cow")
    assert re.fullmatch(r"Rule \d+ `` purple cow `` is added; it holds .*", await told(world, "add", text="purple cow"))
    sentence = await world.refused("a Purple\nCOW in the snow")
    assert "filter:idea" in sentence
    assert "cow" not in sentence.lower()
    assert "is removed" in await told(world, "remove", text="Purple Cow")
    await world.imagine("a purple cow")
    assert await patterns(world) == []


async def test_nobody_but_the_moderator_sees_anything(world: World) -> None:
    await told(world, "add", text="cow")
    await told(world, "test", text="a cow")
    await listed(world)
    assert [message for message in world.channel.history() if not message.flags.ephemeral] == []


async def test_members_without_manage_server_have_no_such_command(world: World) -> None:
    assert not [name for name in world.ada.available_commands(world.channel) if name.startswith("filter")]
    assert "filter add" in world.grace.available_commands(world.channel)
    with pytest.raises(simcord.SetupError, match="default-member-permissions"):
        await world.ada.slash(world.channel, "filter add", text="cow")


async def test_another_servers_rules_are_out_of_reach(world: World) -> None:
    await world.app.filters.add(world.guild.id + 1, "cow", 1)
    assert "no such rule" in await told(world, "remove", text="cow")
    assert "no rules yet" in await told(world, "list")
    assert "allowed here" in await told(world, "test", text="a cow")
    assert await world.grace.autocomplete(world.channel, "filter remove", "text", "c") == []
    await world.imagine("a cow")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("...", "needs at least one letter"),
        ("\u200b\u202e", "needs at least one letter"),
        ("c*w", "only at its start or its end"),
        ("Purple-Cow", "exists already"),
    ],
)
async def test_what_cannot_be_a_rule_is_told_and_changes_nothing(world: World, text: str, sentence: str) -> None:
    await told(world, "add", text="purple cow")
    assert sentence in await told(world, "add", text=text)
    assert await patterns(world) == ["purple cow"]


async def test_remove_suggests_the_rules_that_there_are(world: World) -> None:
    for text in ("purple cow", "brown cow", "pig", "c" * 100):
        await told(world, "add", text=text)
    choices = await world.grace.autocomplete(world.channel, "filter remove", "text", "COW")
    assert [choice["value"] for choice in choices] == ["brown cow", "purple cow"]
    assert len(await world.grace.autocomplete(world.channel, "filter remove", "text", "")) == 4
    assert "is removed" in await told(world, "remove", text=choices[0]["value"])


async def test_the_list_has_pages_of_25_and_the_total(world: World) -> None:
    for number in range(26):
        await world.app.filters.add(world.guild.id, f"{number:02} {'`@everyone` ' * 8}".strip(), 1)
    first, last = await listed(world), await listed(world, page=9)
    assert first.title == last.title == "This server has 26 rules"
    assert len((first.description or "").split("\n")) == 25
    assert (last.description or "").count("\n") == 0
    assert "25 ˋ@everyoneˋ" in (last.description or "")
    assert first.footer.text == "Page 1 of 2; /filter list page: shows another"


async def test_test_names_the_rules_and_keeps_the_operators_words(world: World) -> None:
    own = await world.app.filters.add(world.guild.id, "cow", 1)
    general = await world.app.filters.add(0, "bull", 1)
    answer = await told(world, "test", text="a cow, a bull and a cow")
    assert answer == (
        f"That text would be refused. Rules that match it: {own.id} `` cow ``, {general.id} (of this bot's operator)."
    )
    for number in range(12):
        await world.app.filters.add(world.guild.id, f"w{number}", 1)
    answer = await told(world, "test", text=" ".join(f"w{number}" for number in range(12)))
    assert answer.endswith("`` w9 `` and 2 more.")
    assert await world.app.history.count(None, every_status=True) == 0


async def test_commands_answer_nobody_in_direct_messages(world: World) -> None:
    commands = await world.bot.tree.fetch_commands()
    [command] = [command for command in commands if command.name == "filter"]
    assert command.default_member_permissions == discord.Permissions(manage_guild=True)
    assert command.dm_permission is False
