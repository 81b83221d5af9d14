"""Who may do what: every command and every button of the bot, pressed by every kind of person, against one table.

A new command or button must be added to the table, or the first test fails.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import discord
import pytest
import simcord
from discord import app_commands

from limner.bot.cogs import describe, message_menus, pictures, verify
from limner.bot.cogs.filter import cards
from limner.bot.cogs.filter.cards import ListButton, ListSelect, RuleButton
from limner.bot.cogs.filter.files import ImportButton
from limner.bot.cogs.filter.log import LogButton, UndoButton, UndoSelect
from limner.bot.cogs.filter.settings import LanguageSelect, NegativeSelect, PackSelect, ReviewChannelSelect, RolesSelect
from limner.bot.cogs.pictures import BlockChoice
from limner.bot.cogs.privacy import EraseButton, PrivacyButton
from limner.bot.cogs.server.controls import FORMS as SERVER_FORMS
from limner.bot.cogs.server.controls import (
    AccessChannels,
    AccessRoles,
    GalleryPlace,
    ModeratorRoles,
    QuotaRole,
    ReviewPlace,
    ServerButton,
    ServerSelect,
    StyleSelect,
    SubjectSelect,
)
from limner.bot.cogs.server.screen import PageSelect
from limner.bot.cogs.settings import SettingButton, SettingSelect
from limner.bot.errors import NotModerator, NotYours
from limner.bot.guild_settings import GuildSettings
from limner.bot.options.ask import read
from limner.bot.plugin import BUTTONS as CLASSES
from limner.bot.storage import audit_log
from limner.bot.storage.erasures import Period
from limner.bot.storage.history.gallery import Key
from limner.bot.storage.tables.filter_tables import FilterChange, RuleRow
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.styles import Style
from limner.bot.ui.interactions import NOT_YOUR_OWN, OWNERS_ONLY
from limner.bot.ui.job.comparing import NOTHING, PreferButton
from limner.bot.ui.job.favourites import FavouriteButton, StarButton
from limner.bot.ui.job.job_buttons import JobButton
from limner.bot.ui.job.ratings import FACES, RateButton
from limner.bot.ui.job.restyle import RestyleButton, RestyleChoice
from limner.bot.ui.listing import ListingButton
from limner.bot.ui.member_choices import Offered
from limner.bot.ui.picture.card import HistoryButton, OpenPicture
from limner.bot.ui.picture.family import FamilyButton
from limner.bot.ui.picture.gallery import AlikeButton, TurnButton
from limner.bot.ui.picture.moving import MoveChoice
from limner.bot.ui.picture.picture_buttons import (
    MAKING,
    TAKING,
    TENDING,
    MakeButton,
    PictureButton,
    TakeButton,
    TendButton,
)
from limner.bot.ui.request.accept_rules import AcceptButton
from limner.bot.ui.request.again import AgainButton
from limner.bot.ui.request.asking import GoButton
from limner.bot.ui.review import review_cards
from limner.bot.ui.review.appeal import AppealButton
from limner.bot.ui.review.review_cards import ReviewButton, ShowButton
from tests.reviewing import show_to
from tests.rows import asked
from tests.simulated_discord import World, png

MEMBER, ASKER, NAMED, MANAGER = "member", "asker", "of a named role", "with Manage Server"
ADMINISTRATOR, OWNER, IN_DM = "administrator", "owner", "in a direct message"
EVERYBODY = {MEMBER, ASKER, NAMED, MANAGER, ADMINISTRATOR, OWNER, IN_DM}
MANAGERS = {MANAGER, ADMINISTRATOR, OWNER}
MODERATORS = {NAMED, MANAGER, ADMINISTRATOR, OWNER}
CLEANERS = {ASKER, ADMINISTRATOR, OWNER}
"""The asker, and who has Manage Messages."""
OF_PICTURES = (message_menus.START, message_menus.VARY, message_menus.UPSCALE, message_menus.ADJUST)
OF_REQUESTS = (message_menus.DETAILS, message_menus.REUSE, message_menus.OPEN, message_menus.REPORT)
MENUS = (pictures.BLOCK, describe.MENU, verify.MENU, *OF_PICTURES, *OF_REQUESTS)
NOTHING_OF_TODAY = EraseButton(Period(0, 0.0, 1.0), is_all=False, takes_messages=False)
"""Erases the requests from before 1970 of the member who presses it."""
SLATE = {"slate": Style("slate", "Slate")}
PRIVATE = discord.SelectOption(label="Only I see them", value="on")
VIEWERS = EVERYBODY - {IN_DM}
"""Who sees the message in its channel."""
REFUSALS = (str(NotYours()), str(NotModerator()), NOT_YOUR_OWN, OWNERS_ONLY, "That works in a server only.")


@dataclass
class Things:
    """What there is to lay hands on: a refused request of the asker's, an appeal, a strike, a rule, its change."""

    job: Job
    review: Review
    strike_id: int
    rule: RuleRow
    change: FilterChange


@dataclass
class Scene:
    """A server with one person of each kind."""

    world: World
    people: dict[str, simcord.MemberActor]
    dora: simcord.UserHandle
    role: simcord.RoleHandle
    channel: simcord.ChannelHandle
    things: Things


Options = Callable[[Scene], dict[str, Any]]
Make = Callable[[Scene], tuple[discord.ui.DynamicItem[Any], list[Any]]]
"""A button, or a select and what is chosen in it."""
Table = dict[tuple[type, str], tuple[set[str], Make]]


def no_options(_: Scene) -> dict[str, Any]:
    return {}


def the_rule(scene: Scene) -> dict[str, Any]:
    return {"rule": str(scene.things.rule.id)}


COMMANDS: dict[str, tuple[set[str], Options]] = {
    "imagine": (EVERYBODY, lambda _: {"prompt": "a fox"}),
    "blend": (EVERYBODY, lambda _: {f"image{n}": ("fox.png", png()) for n in (1, 2)}),
    "animate": (EVERYBODY, lambda _: {"prompts": "a fox | a boat"}),
    "wildcards": (EVERYBODY, no_options),
    "history": (EVERYBODY, no_options),
    "gallery": (EVERYBODY - {IN_DM}, no_options),
    "queue": (EVERYBODY, no_options),
    "me": (EVERYBODY, no_options),
    "ratings": (EVERYBODY, lambda _: {"faces": "on"}),
    "privacy": (EVERYBODY, no_options),
    "settings": (EVERYBODY, no_options),
    "expand": (EVERYBODY, lambda _: {"default": "off"}),
    "uploads": (EVERYBODY, lambda _: {"others": "refused"}),
    "upscale": (EVERYBODY, lambda _: {"picture": ("fox.png", png())}),
    "enhance": (EVERYBODY, lambda _: {"picture": ("fox.png", png())}),
    "help": (EVERYBODY, no_options),
    "models": (EVERYBODY, no_options),
    "describe": (EVERYBODY, lambda _: {"picture": ("fox.png", png())}),
    describe.MENU: (EVERYBODY - {IN_DM}, no_options),
    "verify": (EVERYBODY, lambda _: {"picture": ("fox.png", png())}),
    verify.MENU: (EVERYBODY - {IN_DM}, no_options),
    **dict.fromkeys(OF_PICTURES, (EVERYBODY - {IN_DM}, no_options)),
    message_menus.DETAILS: (EVERYBODY - {IN_DM}, no_options),
    message_menus.REUSE: (EVERYBODY - {IN_DM}, no_options),
    message_menus.OPEN: (EVERYBODY - {IN_DM}, no_options),
    message_menus.REPORT: (EVERYBODY - {IN_DM}, no_options),
    "cancel": (CLEANERS, lambda scene: {"request": scene.things.job.id}),
    "filter add": (MODERATORS, no_options),
    "filter policy": (MODERATORS, no_options),
    "pictures export": (MODERATORS, no_options),
    "pictures import": (MODERATORS, lambda _: {"file": ("hashes.txt", b"0123456789abcdef")}),
    "filter edit": (MODERATORS, the_rule),
    "filter exempt": (MODERATORS, the_rule),
    "filter remove": (MODERATORS, the_rule),
    "filter replay": (MODERATORS, the_rule),
    "filter list": (MODERATORS, no_options),
    "filter packs": (MODERATORS, no_options),
    "filter import": (MODERATORS, no_options),
    "filter export": (MODERATORS, no_options),
    "filter test": (MODERATORS, lambda _: {"text": "cow"}),
    "filter settings": (MODERATORS, no_options),
    "filter log": (MODERATORS, no_options),
    "server": (MANAGERS, no_options),
    "pictures limits": (MANAGERS, lambda _: {"ordinary": 0.3}),
    "pictures sharing": (MANAGERS, lambda _: {"who": "owner"}),
    "pictures gallery": (MANAGERS, lambda _: {"stars": 2}),
    "pictures expand": (MANAGERS, lambda _: {"default": "off"}),
    "lists add": (MODERATORS, lambda _: {"name": "animal", "file": ("a.txt", b"fox")}),
    "lists remove": (MODERATORS, lambda _: {"name": "animal"}),
    "lists show": (MODERATORS, no_options),
    "pictures blocked": (MODERATORS, no_options),
    "pictures allow": (MODERATORS, lambda _: {"number": 1}),
    pictures.BLOCK: (MODERATORS, no_options),
    "review list": (MODERATORS, no_options),
    "review refused": (MODERATORS, no_options),
    "review stats": (MODERATORS, no_options),
    "review settings": (MANAGERS, lambda _: {"days": 5}),
    "ban add": (MODERATORS, lambda scene: {"member": scene.people[ASKER]}),
    "ban remove": (MODERATORS, lambda scene: {"member": scene.dora}),
    "ban list": (MODERATORS, no_options),
    "strike add": (MODERATORS, lambda scene: {"member": scene.people[ASKER]}),
    "strike remove": (MODERATORS, lambda scene: {"strike": scene.things.strike_id}),
    "strike list": (MODERATORS, no_options),
}


def each(kind: type, who: set[str], make: Callable[[Scene, str], discord.ui.DynamicItem[Any]], *verbs: str) -> Table:
    """Rows for the verbs of one class of buttons."""
    return {(kind, verb): (who, lambda scene, verb=verb: (make(scene, verb), [])) for verb in verbs}


def choice(job: Job) -> discord.SelectOption:
    """A request's first picture as /history offers it."""
    return discord.SelectOption(label=job.idea, value=f"{job.id}:1")


BUTTONS: Table = {
    **each(JobButton, {ASKER}, lambda s, verb: JobButton(verb, s.things.job.id), "keep", "edit", "reroll", "remix"),
    **each(
        JobButton,
        {ASKER},
        lambda s, verb: JobButton(verb, s.things.job.id),
        "raw",
        "details",
        "upscale",
        "paint",
        "enhance",
    ),
    **each(JobButton, {ASKER}, lambda s, verb: JobButton(verb, s.things.job.id), "another", "change", "stop"),
    **each(JobButton, CLEANERS, lambda s, verb: JobButton(verb, s.things.job.id), "delete", "erase"),
    **each(JobButton, CLEANERS, lambda s, verb: JobButton(verb, s.things.job.id), "cancel"),
    **each(PictureButton, VIEWERS, lambda s, _: PictureButton("1", s.things.job.id, 1), ""),
    **each(MakeButton, VIEWERS, lambda s, verb: MakeButton(verb, s.things.job.id, 1), *MAKING),
    **each(TakeButton, VIEWERS, lambda s, verb: TakeButton(verb, s.things.job.id, 1), *TAKING),
    **each(
        TendButton, CLEANERS, lambda s, verb: TendButton(verb, s.things.job.id, 1), *sorted(TENDING.keys() - {"move"})
    ),
    **each(TendButton, CLEANERS - {ASKER}, lambda s, verb: TendButton(verb, s.things.job.id, 1), "move"),
    (MoveChoice, ""): (CLEANERS - {ASKER}, lambda s: (MoveChoice(s.things.job.id), [s.channel])),
    **each(AlikeButton, {ASKER}, lambda s, _: AlikeButton(s.things.job.id, 1), ""),
    **each(FamilyButton, {ASKER}, lambda s, _: FamilyButton(s.things.job.id), ""),
    **each(StarButton, {ASKER}, lambda s, _: StarButton(s.things.job.id, 1), ""),
    **each(FavouriteButton, EVERYBODY, lambda _s, verb: FavouriteButton(verb, 1), "keep", "unstar"),
    **each(RateButton, {ASKER}, lambda s, verb: RateButton(verb, s.things.job.id), *FACES),
    **each(PreferButton, {ASKER}, lambda s, _: PreferButton(NOTHING, NOTHING, s.things.job.id), ""),
    **each(RestyleButton, {ASKER}, lambda s, _: RestyleButton(s.things.job.id), ""),
    (RestyleChoice, ""): ({ASKER}, lambda s: (RestyleChoice(s.things.job.id, 0, {"1:ink": "Picture 1"}), ["1:ink"])),
    **each(TurnButton, EVERYBODY, lambda _s, _: TurnButton("Next", "n", Key(1, 0), ""), ""),
    (OpenPicture, ""): ({ASKER}, lambda s: (OpenPicture([choice(s.things.job)]), [choice(s.things.job).value])),
    **each(HistoryButton, {ASKER}, lambda s, verb: HistoryButton("Open", verb, s.things.job.id), "open", "repeat"),
    **each(
        ListingButton, EVERYBODY, lambda _s, kind: ListingButton("Next", kind, 0, 1), "queue", "mine", "help", "models"
    ),
    **each(
        ListingButton,
        MODERATORS,
        lambda _s, kind: ListingButton("Next", kind, 0, 1),
        "reviews",
        "refused",
        "strikes",
        "bans",
    ),
    **each(PrivacyButton, EVERYBODY, lambda _s, verb: PrivacyButton(verb), "export", "erase"),
    **each(EraseButton, EVERYBODY, lambda _s, _: NOTHING_OF_TODAY, ""),
    (SettingSelect, ""): (EVERYBODY, lambda _: (SettingSelect("private", [PRIVATE]), [PRIVATE.value])),
    **each(SettingButton, EVERYBODY, lambda _s, _: SettingButton(1), ""),
    **each(AppealButton, {ASKER}, lambda s, _: AppealButton(s.things.job.id), ""),
    **each(AcceptButton, EVERYBODY, lambda _s, _: AcceptButton("0" * 16, 0), ""),
    **each(GoButton, EVERYBODY, lambda _s, verb: GoButton(verb, 1), "go", "leave"),
    **each(AgainButton, {ASKER}, lambda s, _: AgainButton("remix", s.things.job.id), ""),
    **each(ReviewButton, MODERATORS, lambda s, verb: ReviewButton(verb, s.things.review.id), *review_cards.LOOKS),
    **each(ShowButton, MODERATORS, lambda s, _: ShowButton(s.things.review.id), ""),
    **each(RuleButton, MODERATORS, lambda s, verb: RuleButton(verb, s.things.rule.id), *cards.LOOKS),
    **each(ListButton, MODERATORS, lambda _s, _: ListButton("Next", 1, ""), ""),
    **each(ImportButton, MODERATORS, lambda _s, _: ImportButton("automod", "Add"), ""),
    **each(LogButton, MODERATORS, lambda _s, _: LogButton("Next", 1), ""),
    **each(UndoButton, MODERATORS, lambda s, _: UndoButton(s.things.change.id), ""),
    (BlockChoice, ""): (MODERATORS, lambda s: (BlockChoice(s.things.job.id, 1), ["1"])),
    (ListSelect, ""): (MODERATORS, lambda s: (ListSelect.of([s.things.rule]), [str(s.things.rule.id)])),
    (UndoSelect, ""): (MODERATORS, lambda s: (UndoSelect.of([s.things.change]), [str(s.things.change.id)])),
    (LanguageSelect, ""): (MODERATORS, lambda _: (LanguageSelect.of("English"), ["German"])),
    (PackSelect, ""): (MODERATORS, lambda _: (PackSelect.of("English", []), ["gore-en"])),
    (RolesSelect, ""): (MANAGERS, lambda s: (RolesSelect.of(GuildSettings()), [s.role])),
    (ReviewChannelSelect, ""): (MANAGERS, lambda s: (ReviewChannelSelect.of(GuildSettings()), [s.channel])),
    (PageSelect, ""): (MANAGERS, lambda _: (PageSelect.of("painting"), ["quotas"])),
    (ServerSelect, ""): (MANAGERS, lambda _: (ServerSelect("sharing", [PRIVATE]), [PRIVATE.value])),
    (SubjectSelect, ""): (MANAGERS, lambda _: (SubjectSelect.of([Offered("all", "Everything")], "all"), ["all"])),
    (AccessChannels, ""): (MANAGERS, lambda s: (AccessChannels("paint"), [s.channel])),
    (AccessRoles, ""): (MANAGERS, lambda s: (AccessRoles("paint"), [s.role])),
    (QuotaRole, ""): (MANAGERS, lambda s: (QuotaRole.of(), [s.role])),
    (ModeratorRoles, ""): (MANAGERS, lambda s: (ModeratorRoles.of(GuildSettings()), [s.role])),
    (ReviewPlace, ""): (MANAGERS, lambda s: (ReviewPlace.of(GuildSettings()), [s.channel])),
    (GalleryPlace, ""): (MANAGERS, lambda s: (GalleryPlace.of(GuildSettings()), [s.channel])),
    (StyleSelect, "change"): (MANAGERS, lambda _: (StyleSelect("change", SLATE), ["slate"])),
    (StyleSelect, "remove"): (MANAGERS, lambda _: (StyleSelect("remove", SLATE), ["slate"])),
    **each(ServerButton, MANAGERS, lambda _s, verb: ServerButton(verb), *SERVER_FORMS),
    (NegativeSelect, ""): (MANAGERS, lambda _: (NegativeSelect.of(GuildSettings()), ["checked"])),
}


def commands(world: World) -> dict[str, app_commands.Command[Any, ..., Any] | app_commands.ContextMenu]:
    found = {
        command.qualified_name: command
        for command in world.bot.tree.walk_commands()
        if not isinstance(command, app_commands.Group)
    }
    for kind in (discord.AppCommandType.user, discord.AppCommandType.message):
        found |= {menu.qualified_name: menu for menu in world.bot.tree.get_commands(type=kind)}
    return found


def verbs() -> Iterator[tuple[type, str]]:
    """Every class of buttons that is registered, with each of its verbs."""
    for kind in CLASSES:
        template = kind.__discord_ui_compiled_template__.pattern
        named = re.search(r"\(\?P<verb>([^)]*)\)", template)
        yield from ((kind, verb) for verb in (named[1].split("|") if named else [""]))


async def test_the_table_has_every_command_and_every_button(world: World) -> None:
    assert commands(world).keys() == COMMANDS.keys()
    assert set(verbs()) == BUTTONS.keys()


async def test_discord_itself_hides_from_others_what_only_moderators_may_use(world: World) -> None:
    for name, command in commands(world).items():
        root = command.root_parent or command if isinstance(command, app_commands.Command) else command
        contexts = root.allowed_contexts
        is_guilds = root.guild_only or bool(contexts and contexts.guild and not contexts.dm_channel)
        hidden = root.default_permissions == discord.Permissions(manage_guild=True) and is_guilds
        assert hidden == (COMMANDS[name][0] <= MODERATORS), name


@pytest.fixture
async def scene(world: World) -> Scene:
    guild, user = world.guild, world.env.create_user
    named = guild.create_role("Helpers")
    manager = guild.create_role("Managers", permissions=discord.Permissions(manage_guild=True))
    administrator = guild.create_role("Administrators", permissions=discord.Permissions(administrator=True))
    people = {
        MEMBER: world.bob,
        ASKER: world.ada,
        NAMED: guild.add_member(user("hal"), roles=[named]),
        MANAGER: guild.add_member(user("alan"), roles=[manager]),
        ADMINISTRATOR: guild.add_member(user("ruth"), roles=[administrator]),
        OWNER: simcord.MemberActor(world.env, guild, guild.owner),
    }
    reviews = guild.create_text_channel("reviews")
    await world.app.guilds.change(
        guild.id, world.grace.id, review_channel_id=reviews.id, moderator_role_ids=(named.id,)
    )
    # The server's own switch in Discord shows these commands to everybody; the bot must still refuse.
    moderated = [name for name, (who, _) in COMMANDS.items() if who <= MODERATORS]
    await show_to(world, guild.default_role, pictures.BLOCK, *(name.split()[0] for name in moderated))
    return Scene(world, people, user("dora"), named, reviews, await _things(world))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
async def test_who_may_use_a_command(scene: Scene, name: str) -> None:
    who, options = COMMANDS[name]
    await _walk(scene, who, lambda kind: _command(scene, kind, name, options(scene)))


@pytest.mark.slow
@pytest.mark.parametrize("button", BUTTONS, ids=lambda button: f"{button[0].__name__} {button[1]}")
async def test_who_may_press_a_button(scene: Scene, button: tuple[type, str]) -> None:
    who, make = BUTTONS[button]
    await _walk(scene, who, lambda kind: _press(scene, kind, *make(scene)))


@pytest.mark.slow
async def test_details_and_settings_of_posted_pictures_are_for_all_who_see_them(scene: Scene) -> None:
    world, may = scene.world, VIEWERS
    job = await world.painted()
    await _walk(scene, may, lambda kind: _press(scene, kind, JobButton("details", job.id), []))
    for menu in (message_menus.DETAILS, message_menus.REUSE):
        for kind in sorted(may):
            answer = await scene.people[kind].context_menu(world.channel, menu, world.message(job))
            assert not _is_refused(answer), (menu, kind)


async def _walk(scene: Scene, who: set[str], act: Callable[[str], Awaitable[simcord.InteractionResult | None]]) -> None:
    """Let one person of each kind do it; what those do who may changes things, so they are made anew after them."""
    may: set[str] = set()
    for kind in sorted(EVERYBODY):
        if not _is_refused(await act(kind)):
            may.add(kind)
            scene.things = await _things(scene.world)
    assert may == who


def _is_refused(result: simcord.InteractionResult | None) -> bool:
    if result is None:
        return True
    answers = [*([result.response] if result.response else []), *result.followups]
    return any(answer.ephemeral and answer.content in REFUSALS for answer in answers)


async def _things(world: World) -> Things:
    rule = await world.app.filters.add(world.guild.id, f"cow {time.monotonic_ns()}", 2)
    [change, *_] = (await audit_log.page(world.app.database, world.guild.id)).changes
    ask = asked(text="a fox", user_id=world.ada.id, guild_id=world.guild.id, channel_id=world.channel.id)
    new = read(world.app, ask)
    job = await world.app.jobs.log_refusal(new, "filter:idea", "The idea is not allowed.")
    review = await world.app.reviews.appeal(job, "")
    settings = await world.app.guilds.get(world.guild.id)
    told = await world.app.strikes.give(world.guild.id, 1, by=2, why="spam", settings=settings)
    return Things(job, review, told.strike.id, rule, change)


async def _command(scene: Scene, kind: str, name: str, options: dict[str, Any]) -> simcord.InteractionResult | None:
    """None where Discord does not offer it."""
    try:
        if kind == IN_DM:
            return await scene.dora.slash(name, **options)
        if name in MENUS:
            message = await scene.world.bot.get_partial_messageable(scene.world.channel.id).send("a message")
            return await scene.people[kind].context_menu(scene.world.channel, name, message)
        return await scene.people[kind].slash(scene.world.channel, name, **options)
    except simcord.SetupError:
        return None


async def _press(
    scene: Scene, kind: str, item: discord.ui.DynamicItem[Any], values: list[Any]
) -> simcord.InteractionResult | None:
    if kind == IN_DM and isinstance(item.item, discord.ui.RoleSelect | discord.ui.ChannelSelect):
        return None  # there are none to choose
    view = discord.ui.View(timeout=None)
    view.add_item(item)
    bot, here = scene.world.bot, scene.world.channel.id
    channel = bot.get_partial_messageable(here, guild_id=scene.world.guild.id)
    if kind == IN_DM:
        channel = await bot.create_dm(discord.Object(scene.dora.id))
    who = scene.dora if kind == IN_DM else scene.people[kind]
    message = await channel.send(view=view)
    if values:
        return await who.select(message, values, custom_id=item.custom_id)
    return await who.click(message, custom_id=item.custom_id)
