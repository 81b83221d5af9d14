"""Files of rules that moderators upload and download, and the rules of Discord's AutoMod."""

from __future__ import annotations

import json
from typing import Any

from limner.bot.filters.rulebook import files
from limner.bot.filters.rulebook.rows import entry_of
from tests.bot.test_filter_commands import add, answer, command, patterns, read, rules, told
from tests.simulated_discord import World, labels


async def test_what_is_doubtful_in_a_file_is_told_by_line_before_anything_is_written(world: World) -> None:
    await add(world, "word5")
    lines = [f"word{number}" for number in range(200)]
    lines[17:22] = ["c*w", "*", "# a note", "pig # a note", "a, b"]
    file = ("rules.txt", "\r\n".join(lines).encode("utf-16"))
    result = await command(world, "import", file=file)
    assert "Nothing is added yet; look at 3 lines:" in read(result)
    assert "18: A rule may have a" in read(result)
    assert "19: A rule needs at least one letter" in read(result)
    assert "22: It has two parts" in read(result)
    assert await patterns(world) == ["word5"]
    assert labels(answer(result)) == ["Add the other 196 rules"]
    await world.restart()
    added = await world.grace.click(answer(result), label="Add the other 196 rules")
    assert "195 rules added; 1 there already; 3 not added." in read(added)
    assert "18: A rule may have a" in read(added)
    assert "pig" in await patterns(world)
    exported = answer(await command(world, "export"))
    [file] = exported.attachments
    assert len(json.loads(await file.read())["rules"]) == 196
    assert "is undone" in read(await world.grace.click(answer(added), label="Undo"))
    assert await patterns(world) == ["word5"]
    assert "197 rules added; 1 there already." in await told(
        world, "import", file=("rules.txt", "\n".join(f"word{number}" for number in range(198)).encode())
    )


async def test_an_export_is_read_by_another_server(world: World) -> None:
    await add(world, "cow", when=["spoiler"])
    await add(world, "cow bell", it_is=["allow"])
    [file] = answer(await command(world, "export")).attachments
    text = await file.read()
    for rule in await rules(world):
        await world.app.filters.remove(world.guild.id, rule.id, 1)
    assert "2 rules added." in await told(world, "import", file=("rules.json", text))
    assert files.write(map(entry_of, await rules(world))).encode() == text
    assert "no rules in that file" in await told(world, "import", file=("empty.txt", b" \n"))
    for name, content in (("a.json", b"3"), ("a.json", b"{"), ("a.txt", b"\xff"), ("a.csv", b'a,"b')):
        sentence = await told(world, "import", file=(name, content))
        assert "no pattern" in sentence or "not valid JSON" in sentence or "UTF-8" in sentence or "quote" in sentence
    assert len(await rules(world)) == 2


async def test_automods_rules_come_in_with_their_exemptions(world: World) -> None:
    role = world.guild.create_role("Trusted")
    body = {
        "name": "Words",
        "event_type": 1,
        "trigger_type": 1,
        "trigger_metadata": {"keyword_filter": ["cow*", "b*ll"], "regex_patterns": ["p+ig"], "allow_list": ["cowboy"]},
        "actions": [{"type": 1, "metadata": {"custom_message": "No animals."}}],
        "exempt_roles": [role.id],
        "exempt_channels": [world.channel.id],
    }
    preset: dict[str, Any] = {
        "name": "Lists",
        "event_type": 1,
        "trigger_type": 4,
        "trigger_metadata": {"presets": [1]},
        "actions": [],
    }
    for one in (body, preset):
        world.env.backend.create_auto_mod_rule(world.guild.id, world.grace.id, one)
    shown = await command(world, "import")
    text = read(shown)
    assert "Words, b\\*ll: A rule may have a" in text
    assert not await rules(world)
    added = await world.grace.click(answer(shown), label="Add the other 3 rules")
    assert "3 rules added; 2 not added." in read(added)
    assert "Lists: Discord keeps the words of its own lists to itself" in text
    told_rules = [(rule.pattern, rule.kind, rule.is_allow, rule.reason) for rule in await rules(world)]
    assert told_rules == [
        ("cow*", "prefix", False, "No animals."),
        ("p+ig", "regex", False, "No animals."),
        ("cowboy", "word", True, ""),
    ]
    assert (await rules(world))[0].scope == {"exempt_channels": [str(world.channel.id)], "exempt_roles": [str(role.id)]}
