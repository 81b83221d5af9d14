"""Every button, select and form: for whom it is, what it may be sent, and that no two of them share anything."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from discord import app_commands

from limner import bot
from limner.bot.cogs.filter.settings import ReviewChannelSelect, RolesSelect
from limner.bot.cogs.forms import FORMS
from limner.bot.errors import NotFound, NotModerator, NotYours
from limner.bot.guild_settings import GuildSettings
from limner.bot.plugin import BUTTONS
from limner.bot.storage.tables.models import Job
from limner.bot.ui.controls import NOT_OFFERED, Control, ForAnyone, ForManagers, ForModerators, ForOwner, ForViewers
from limner.bot.ui.form import Form
from limner.generators.base import Expansion
from tests import other_clients
from tests.other_clients import told
from tests.reviewing import show_to
from tests.simulated_discord import World

FOR_WHOM: tuple[type, ...] = (ForAnyone, ForOwner, ForViewers, ForModerators, ForManagers)
DISCORDS = ("discord.ui.Button", "discord.ui.Select", "discord.ui.RoleSelect", "discord.ui.ChannelSelect")
DECORATORS = ("discord.ui.button", "discord.ui.select")


def ours(kind: type) -> list[type]:
    """Every class of the bot that comes from this one, once: a test that loads the extension again makes them anew."""
    found, bases = dict[str, type](), [kind]
    while bases:
        for child in bases.pop().__subclasses__():
            name = f"{child.__module__}.{child.__qualname__}"
            if found.setdefault(name, child) is child:
                bases.append(child)
    return [child for name, child in found.items() if name.startswith("limner.bot.")]


def calls(name: str) -> Iterator[tuple[str, list[str]]]:
    """Where in the bot something is called: the file, and the classes and functions around it."""
    last = name.rpartition(".")[2]
    files = (file for file in Path(bot.__file__).parent.rglob("*.py") if last in file.read_text("utf-8"))
    return ((file.stem, around) for file in files for called, around in _calls(file) if called == name)


@functools.cache
def _calls(file: Path) -> list[tuple[str, list[str]]]:
    def look(node: ast.AST, around: list[str]) -> Iterator[tuple[str, list[str]]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield ast.unparse(child.func).split("[")[0], around
            is_named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            yield from look(child, [*around, child.name] if is_named else around)

    return [*look(ast.parse(file.read_text("utf-8")), [])]


def test_every_control_says_for_whom_it_is_and_leaves_the_looking_to_that() -> None:
    items = {kind for kind in ours(discord.ui.Item) if not inspect.isabstract(kind)}
    assert items == set(BUTTONS)
    assert all(issubclass(kind, FOR_WHOM) for kind in items)
    for kind in items:
        assert not {"callback", "interaction_check", "check_and_act"} & vars(kind).keys(), kind
    assert {kind for kind in ours(discord.ui.Item) if "callback" in vars(kind)} == {Control}


def test_every_form_is_made_anew_when_it_comes_back() -> None:
    forms = {kind for kind in ours(discord.ui.Modal) if not inspect.isabstract(kind)}
    assert forms == set(FORMS) == set(Form.kinds.values())
    for kind in forms:
        assert not {"on_submit", "on_error", "interaction_check"} & vars(kind).keys(), kind
    assert [file for file, _ in calls("interaction.response.send_modal")] == ["form"]


def test_no_view_answers_by_itself() -> None:
    assert [kind for kind in ours(discord.ui.View) if not issubclass(kind, Form)] == []
    controls = {kind.__name__ for kind in ours(Control)} | {kind.__name__ for kind in FORMS}
    fields = {("forms", name) for name in ("select", "_channels", "_roles")} | {
        ("privacy", "_choice"),
        ("controls", "_role_select"),
        ("settings", "channel_select"),
    }
    sent = {("after_refusal", name) for name in ("again_button", "appeal_button", "accept_button")} | {
        ("opened", "opening_select")
    }
    for name in DISCORDS:
        for file, around in calls(name):
            assert controls.intersection(around) or (file, around[0]) in fields | sent, (name, file, around)
    assert [file for name in DECORATORS for file, _ in calls(name)] == []


@pytest.mark.parametrize("kind", BUTTONS)
def test_no_number_in_an_id_is_larger_than_a_database_counts(kind: type[Control[Any]]) -> None:
    template = kind.__discord_ui_compiled_template__.pattern
    assert not re.search(r"\[0-9\][+*]|\\d", template)
    for most in re.findall(r"\[0-9\]\{1,(\d+)\}", template):
        assert 10 ** int(most) < 2**63


class Studio:
    """A second server, with a moderator and a channel of its own."""

    def __init__(self, world: World) -> None:
        self.guild = world.env.create_guild("Other studio")
        self.channel = self.guild.create_text_channel("studio")
        role = self.guild.create_role("Moderators", permissions=discord.Permissions(manage_guild=True))
        self.hugo = self.guild.add_member(world.env.create_user("hugo"), roles=[role])


@pytest.fixture
def other(world: World) -> Studio:
    return Studio(world)


def form_id(kind: str, who: simcord.MemberActor, subject: int = 0) -> str:
    return f"limner:form:{kind}:{who.guild.id}:{who.id}:{subject}"


def filled(shown: simcord.InteractionResult, **values: Any) -> dict[str, Any]:
    """A form as it was shown, but for some fields."""
    assert shown.modal
    parts = [label["component"] for label in shown.modal["components"]]
    usual = {
        part["custom_id"]: [option["value"] for option in part.get("options", []) if option.get("default")]
        or part.get("value", "")
        for part in parts
    }
    return {name: value for name, value in (usual | values).items() if value}


async def test_two_moderators_of_two_servers_have_the_same_form_open(world: World, other: Studio) -> None:
    first = await world.grace.slash(world.channel, "filter add")
    second = await other.hugo.slash(other.channel, "filter add")
    assert world.bot.persistent_views == []
    await world.grace.submit_modal(first, filled(first, text="cow"))
    await other.hugo.submit_modal(second, filled(second, text="bull"))
    for guild, text in ((world.guild, "cow"), (other.guild, "bull")):
        assert [rule.pattern for rule in await world.app.filters.all(guild.id)] == [text]


async def test_one_moderator_has_a_form_open_twice_and_the_bot_starts_again(world: World) -> None:
    shown = [await world.grace.slash(world.channel, "filter add") for _ in range(2)]
    await world.restart()
    for form, text in zip(shown, ("cow", "bull"), strict=True):
        await world.grace.submit_modal(form, filled(form, text=text))
    assert [rule.pattern for rule in await world.app.filters.all(world.guild.id)] == ["cow", "bull"]


async def held(world: World) -> Job:
    """A request that waits for its owner's choice."""
    job = await world.imagine(expand="preview")
    await world.app.jobs.hold(await world.claim(), Expansion("a red fox, snow", "snow", (), "", 0.1), "a red fox, snow")
    return await world.app.jobs.get(job.id)


async def test_an_edit_of_any_length_is_answered_with_a_sentence(world: World) -> None:
    job = await held(world)
    edits: list[dict[str, str]] = [{"text": "fox " * 500_000}, {"text": ""}, {}]
    for values in edits:
        answer = told(
            await other_clients.fill(world, world.ada, world.channel.id, form_id("edit", world.ada, job.id), **values)
        )
        assert "“What is to be painted”" in answer
        assert (await world.app.jobs.get(job.id)).held_at is not None


async def test_a_form_takes_only_what_it_offers(world: World) -> None:
    name = form_id("rule", world.grace)
    usual = filled(await world.grace.slash(world.channel, "filter add"), text="cow")
    nothing: list[str] = []
    for wrong in ({"action": ["explode"]}, {"action": nothing}, {"kind": ["word", "regex"]}, {"span": ["as it is"]}):
        answer = told(await other_clients.fill(world, world.grace, world.channel.id, name, **usual | wrong))
        assert "does not offer that" in answer, wrong
    rule = await world.app.filters.add(world.guild.id, "cow", 1)
    place = form_id("where", world.grace, rule.id)
    wrong: dict[str, list[str]] = {"ages": ["any"], "exempt_roles": ["x' OR 1=1"]}
    assert "does not offer" in told(await other_clients.fill(world, world.grace, world.channel.id, place, **wrong))
    assert [rule.scope for rule in await world.app.filters.all(world.guild.id)] == [{}]


async def test_a_form_is_sent_by_the_one_and_in_the_server_that_it_is_of(world: World, other: Studio) -> None:
    job, rule = await held(world), await world.app.filters.add(world.guild.id, "cow", 1)
    for who, here, name, values, answer in (
        (world.bob, world.channel, form_id("edit", world.bob, job.id), {"text": "a cat"}, str(NotYours())),
        (world.bob, world.channel, form_id("edit", world.ada, job.id), {"text": "a cat"}, str(NotYours())),
        (world.bob, world.channel, form_id("remix", world.bob, job.id), {"idea": "a cat"}, str(NotYours())),
        (world.bob, world.channel, form_id("appeal", world.bob, job.id), {"words": "please"}, str(NotYours())),
        (world.bob, world.channel, form_id("rule", world.bob), {"text": "cat"}, str(NotModerator())),
        (world.bob, world.channel, form_id("where", world.bob, rule.id), {}, str(NotModerator())),
        (other.hugo, other.channel, form_id("rule", world.grace), {"text": "cat"}, str(NotYours())),
        (other.hugo, other.channel, form_id("rule", other.hugo, rule.id), {"text": "cat"}, "no such rule"),
        (other.hugo, other.channel, form_id("where", other.hugo, rule.id), {}, "no such rule"),
        (other.hugo, other.channel, form_id("where", other.hugo, 10**17), {}, "no such rule"),
    ):
        assert answer in told(await other_clients.fill(world, who, here.id, name, **values)), name
    assert (await world.newest()).id == job.id
    assert (await world.app.jobs.get(job.id)).held_at is not None
    assert [rule.pattern for rule in await world.app.filters.all(world.guild.id)] == ["cow"]


async def shown(channel: simcord.ChannelHandle, world: World, *items: discord.ui.Item[Any]) -> discord.Message:
    """A message with these controls, as a member of the server could be shown it."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return await world.bot.get_partial_messageable(channel.id).send(view=view)


OF_ANOTHER_SERVER = (
    "delete",
    "cancel",
    "keep",
    "edit",
    "raw",
    "reroll",
    "remix",
    "details",
    "upscale",
    "restyle",
    "appeal",
)


async def test_another_servers_moderator_reaches_nothing_by_its_number(world: World, other: Studio) -> None:
    everything = discord.Permissions(administrator=True)
    hugo = other.guild.add_member(
        world.env.create_user("ivan"), roles=[other.guild.create_role("A", permissions=everything)]
    )
    painted, waiting = await world.painted(), await world.imagine()
    for job in (painted, waiting):
        for verb in OF_ANOTHER_SERVER:
            name = f"limner:{verb}:{job.id}"
            here = await shown(other.channel, world, discord.ui.Button(label=verb, custom_id=name))
            assert told(await other_clients.press(world, hugo, here, name)) == str(NotYours()), verb
    choice = discord.ui.Select[Any](custom_id=f"limner:block:{painted.id}:1", options=[discord.SelectOption(label="1")])
    here = await shown(other.channel, world, choice)
    result = await other_clients.press(world, hugo, here, choice.custom_id, ["1"])
    assert told(result) == str(NotFound())
    assert told(await hugo.slash(other.channel, "cancel", request=waiting.id)) == str(NotYours())
    assert await world.app.blocked.every(other.guild.id) == []
    assert (await world.app.jobs.get(waiting.id)).status == "queued"
    assert world.message(painted).attachments


async def test_a_cleaner_of_one_channel_is_none_in_another(world: World) -> None:
    attic = world.guild.create_text_channel("attic")
    job = await world.imagine()
    name = f"limner:cancel:{job.id}"
    here = await shown(attic, world, discord.ui.Button(label="Cancel", custom_id=name))
    assert told(await other_clients.press(world, world.grace, here, name)) == str(NotYours())
    cancelled = told(await other_clients.press(world, world.grace, world.message(job), name))
    assert cancelled == f"Request {job.id} (**a red fox**) is cancelled."


async def test_a_select_takes_only_what_its_message_offers(world: World) -> None:
    job = await world.painted()
    options = [discord.SelectOption(label=str(number), value=f"{number}:ink") for number in (1, 2)]
    here = await shown(world.channel, world, discord.ui.Select(custom_id=f"limner:restyled:{job.id}", options=options))
    wrong: list[list[str]] = [["99:ink"], ["1:doodle"], [], ["1:ink", "2:ink"], ["0:ink"], ["-1:ink"], ["x"]]
    for values in wrong:
        result = await other_clients.press(world, world.ada, here, f"limner:restyled:{job.id}", values)
        assert told(result) == NOT_OFFERED, values
        assert (await world.newest()).id == job.id


async def test_a_command_takes_only_what_it_offers(world: World) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("imagine", {"prompt": "a fox", "count": 100}),
        ("imagine", {"prompt": "a fox", "aspect": "1:99"}),
        ("imagine", {"prompt": "a fox", "expand": "always"}),
        ("imagine", {"prompt": "a fox", "strength": 7.5}),
        ("imagine", {"prompt": "a fox", "guidance": float("nan")}),
        ("history", {"search": "fox " * 500_000}),
        ("history", {"id": 0}),
        ("filter list", {"search": "x" * 99}),
        ("pictures limits", {"ordinary": 2.0}),
        ("pictures limits", {"ordinary": float("nan")}),
        ("pictures blocked", {"page": -1}),
        ("review settings", {"evasion": "ban"}),
        ("review settings", {"days": 10**9}),
    ]
    for name, options in wrong:
        result = await other_clients.slash(world, world.grace, world.channel.id, name, **options)
        assert told(result).startswith("This command does not offer that value for the option "), (name, [*options])
        settings = await world.app.guilds.get(world.guild.id)
        assert (settings, await world.app.history.page(None, every_status=True)) == (GuildSettings(), [])


async def test_cards_are_posted_and_roles_named_in_their_own_server_only(world: World, other: Studio) -> None:
    await world.grace.slash(world.channel, "filter settings")
    theirs = other.guild.create_role("Theirs")
    attic = world.guild.create_voice_channel("attic")
    for select, kind, number in (
        (ReviewChannelSelect, "channels", other.channel.id),
        (ReviewChannelSelect, "channels", attic.id),
        (RolesSelect, "roles", theirs.id),
    ):
        item = select.of(GuildSettings())
        here = await shown(world.channel, world, item)
        resolved = {kind: {str(number): {"id": str(number), "name": "x", "type": 0, "permissions": "0"}}}
        result = await other_clients.press(world, world.grace, here, item.custom_id, [str(number)], resolved=resolved)
        assert told(result) == NOT_OFFERED
    assert await world.app.guilds.get(world.guild.id) == GuildSettings()


AUTOCOMPLETES = [
    *(("imagine", option) for option in ("style", "model", "lora", "sampler", "controls")),
    *((name, option) for name in ("history", "gallery") for option in ("model", "style")),
    ("cancel", "request"),
    ("models", "model"),
]
FOR_MODERATORS = [(f"filter {name}", "rule") for name in ("edit", "exempt", "remove", "replay")] + [
    ("strike remove", "strike")
]


async def test_every_autocomplete_is_tried_here(world: World) -> None:
    found = [
        (command.qualified_name, option.display_name)
        for command in world.bot.tree.walk_commands()
        if isinstance(command, app_commands.Command)
        for option in command.parameters
        if option.autocomplete
    ]
    assert sorted(found) == sorted(AUTOCOMPLETES + FOR_MODERATORS)


async def test_what_is_typed_finds_nothing_of_others_and_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.imagine("a cow")
    await world.app.filters.add(world.guild.id, "cow", 1)
    await world.app.strikes.give(world.guild.id, world.ada.id, by=2, why="cow", settings=GuildSettings())
    roots = {name.split()[0] for name, _ in FOR_MODERATORS}
    await show_to(world, world.guild.default_role, *roots)
    for typed in ("", "cow", "9" * 40, "x" * 100, "%_\\\0"):
        for name, option in AUTOCOMPLETES + FOR_MODERATORS:
            filled = {"prompt": "a fox"} if name == "imagine" else {}
            choices = await world.bob.autocomplete(world.channel, name, option, typed, **filled)
            assert "cow" not in str(choices), (name, typed)
    assert [record for record in caplog.records if record.exc_info] == []
