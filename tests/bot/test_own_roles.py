"""A named role frees none of its members: not by a form, an import, an undo, nor by what becomes an allowed text."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simcord

from limner.bot import cogs
from limner.bot.filters.rulebook.own_roles import OWN_ROLE, Counts, frees
from limner.bot.filters.scopes import ANYWHERE, Scope
from tests.other_clients import fill, told
from tests.reviewing import show_to
from tests.simulated_discord import World

OWN, OTHER = frozenset({"1", "2"}), frozenset({"7"})
RULE, ALLOWED = (False, ANYWHERE), (True, ANYWHERE)


@pytest.mark.parametrize(
    ("before", "after", "is_freer"),
    [
        (RULE, (False, Scope(exempt_roles={"1"})), True),
        (RULE, (False, Scope(exempt_roles=OTHER)), False),
        (RULE, (False, Scope(only_roles=OTHER)), True),
        (RULE, (False, Scope(only_roles={"2", "7"})), False),
        (RULE, (False, Scope(exempt_channels={"1"})), False),
        (None, (False, Scope(exempt_roles={"1"})), True),
        (None, RULE, False),
        (None, ALLOWED, False),
        (None, (True, Scope(only_roles={"1"})), True),
        (None, (True, Scope(only_roles=OTHER)), False),
        ((False, Scope(only_roles={"1"})), (True, Scope(only_roles={"1"})), True),
        ((True, Scope(only_roles={"1"})), (True, Scope(only_roles={"2"})), False),
        ((False, Scope(only_roles=OTHER)), (False, Scope(only_roles={"8"})), False),
        ((False, Scope(exempt_roles={"1"})), (False, Scope(exempt_roles={"1", "7"})), False),
        ((False, Scope(exempt_roles={"1"})), (False, Scope(exempt_roles={"1", "2"})), True),
    ],
)
def test_what_frees_ones_own_role(before: Counts | None, after: Counts, is_freer: bool) -> None:
    assert frees(OWN, before, after) == is_freer
    assert not frees(frozenset(), None, (False, Scope(exempt_roles={"1"})))


def changes() -> Iterator[tuple[str, ast.Call]]:
    """Every call by which a command or a control changes rules."""
    for file in Path(cogs.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                *whose, name = ast.unparse(node.func).split(".")
                if whose[-1:] == ["filters"] and name in ("add", "put", "put_all", "edit", "exempt", "undo"):
                    yield file.name, node


def test_every_change_by_a_moderator_says_which_roles_it_may_not_free() -> None:
    found = [*changes()]
    assert len(found) > 5
    for file, call in found:
        assert "bound" in {keyword.arg for keyword in call.keywords}, (file, call.lineno)


class Helper:
    """A member of a named role without Manage Server."""

    def __init__(self, world: World) -> None:
        self.role = world.guild.create_role("Helpers")
        self.hal = world.guild.add_member(world.env.create_user("hal"), roles=[self.role])


@pytest.fixture
async def helper(world: World) -> Helper:
    helper = Helper(world)
    await show_to(world, helper.role, "filter")
    await world.app.guilds.change(world.guild.id, 1, moderator_role_ids=(helper.role.id,))
    return helper


async def undo(world: World, who: simcord.MemberActor, number: int) -> str:
    log = await who.slash(world.channel, "filter log")
    assert log.response
    return told(await who.select(log.response.message, [str(number)], custom_id="limner:log:undo"))


async def test_an_undo_frees_nobody(world: World, helper: Helper) -> None:
    exempt = Scope(exempt_roles={str(helper.role.id)})
    rule = await world.app.filters.add(world.guild.id, "cow", 1, scope=exempt)
    await world.app.filters.edit(world.guild.id, rule.id, 1, "exempt", scope=ANYWHERE)
    assert await undo(world, helper.hal, 3) == OWN_ROLE
    await world.app.filters.remove(world.guild.id, rule.id, 1)
    assert "is undone" in await undo(world, helper.hal, 4)  # it comes back without its exemption
    await world.app.filters.edit(world.guild.id, rule.id, 1, "exempt", scope=exempt)
    await world.app.filters.remove(world.guild.id, rule.id, 1)
    assert await undo(world, helper.hal, 7) == OWN_ROLE
    assert await world.app.filters.all(world.guild.id) == []
    assert "is undone" in await undo(world, world.grace, 7)
    assert len((await world.app.filters.all(world.guild.id))[0].scope["exempt_roles"]) == 1


async def test_an_import_leaves_out_what_frees_its_own_role(world: World, helper: Helper) -> None:
    own = str(helper.role.id)
    entries: dict[str, Any] = {
        "rules": ["cow", {"pattern": "bull", "exempt_roles": [own]}, {"pattern": "hen", "only_roles": ["7"]}],
        "allow": ["cowboy", {"pattern": "bullfrog", "only_roles": [own]}],
    }
    file = ("rules.json", json.dumps(entries).encode())
    result = await helper.hal.slash(world.channel, "filter import", file=file)
    assert result.response
    assert result.response.content.count(OWN_ROLE) == 3
    added = await helper.hal.click(result.response.message, label="Add the other 2 rules")
    assert added.response
    assert added.response.content.startswith("2 rules added; 3 not added.")
    assert {rule.pattern for rule in await world.app.filters.all(world.guild.id)} == {"cow", "cowboy"}
    await world.grace.slash(world.channel, "filter import", file=file)
    assert len(await world.app.filters.all(world.guild.id)) == 5


async def test_a_rule_of_ones_own_role_becomes_no_allowed_text(world: World, helper: Helper) -> None:
    scope = Scope(only_roles={str(helper.role.id)})
    rule = await world.app.filters.add(world.guild.id, "cow", 1, scope=scope)
    name = f"limner:form:rule:{world.guild.id}:{helper.hal.id}:{rule.id}"
    values = {"text": "cow", "kind": ["allow"], "action": ["block"], "told": "", "span": ["for good"]}
    assert told(await fill(world, helper.hal, world.channel.id, name, **values)) == OWN_ROLE
    assert not (await world.app.filters.get(world.guild.id, rule.id)).is_allow
