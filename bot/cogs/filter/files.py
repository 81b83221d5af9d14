"""Imports rules from files and from the server's AutoMod, and exports them as a file."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self, cast

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.cards import view
from limner.bot.cogs.filter.log import UndoButton
from limner.bot.errors import BadRule
from limner.bot.filters.rulebook import files
from limner.bot.filters.rulebook.entries import MAX_REASON, Entry
from limner.bot.filters.rulebook.files import Item
from limner.bot.filters.rulebook.own_roles import OWN_ROLE, frees
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.filters.scopes import ANYWHERE
from limner.bot.limits import cut
from limner.bot.translation import N_, _, ngettext, semicolons
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.controls import ForModerators
from limner.bot.ui.interactions import bound_roles, tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.listing import with_file
from limner.bot.ui.uploads import download
from limner.generators.text_files import BadText, decode

Interaction = discord.Interaction[Any]
Trigger = discord.AutoModRuleTriggerType

MOST_BYTES = 8 * 2**20
TOO_LARGE = N_("That file is larger than 8 MB; divide it into several.")
EMPTY = N_("There are no rules in that file")
NO_PERMISSION = N_(
    "I need the permission Manage Server to read this server's AutoMod rules; give it to my role for that moment, "
    "or attach a file."
)
NO_KEYWORDS = N_("This server's AutoMod has no keyword rules; attach a file with rules, or look at /filter packs.")
PRESET = N_("Discord keeps the words of its own lists to itself; /filter packs has lists of ours")
ALLOWED_HERE = N_("What AutoMod allows for one of its rules is allowed for all rules here.")


class ImportButton(ForModerators[discord.ui.Button[Any]], template=r"limner:import:(?P<source>file|automod)"):
    """Imports the rest of a file or of AutoMod, after its message has listed the doubtful entries."""

    def __init__(self, source: str, label: str = "") -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:import:{source}"))
        self.source = source

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(match["source"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Read the source again and add its valid rules."""
        await interaction.response.defer()
        message = cast("discord.Message", interaction.message)
        items = await _items(interaction, app, message.attachments[0] if self.source == "file" else None)
        await _add(interaction, app, guild_id, items, is_automod=self.source == "automod")


async def bring_in(interaction: Interaction, app: App, guild_id: int, file: discord.Attachment | None) -> None:
    """Import a file or AutoMod in one change.

    Doubtful and wrong entries are listed by line, and a button imports the rest.
    """
    await interaction.response.defer(ephemeral=True, thinking=True)
    items = await app.filters.reviewed(guild_id, await _items(interaction, app, file))
    complaints = [item.complaint for item in items if item.complaint]
    if not complaints:
        await _add(interaction, app, guild_id, items, is_automod=file is None)
        return
    count = sum(item.entry is not None for item in items)
    text = _nothing_yet(len(complaints)) if count else _("Nothing in it can be added:")
    button = ImportButton("file" if file else "automod", _others(count))
    content, listed = with_file([text], complaints, "lines.txt", _small)
    shown: dict[str, Any] = {"content": content, "view": view([button] if count else [])}
    if file is None:
        await interaction.edit_original_response(attachments=listed, **shown)
        return
    async with download(app, interaction.user.id, file) as data:
        given = discord.File(io.BytesIO(data), file.filename)
        await interaction.edit_original_response(attachments=[given, *listed], **shown)


async def send_out(interaction: Interaction, app: App, guild_id: int) -> None:
    """All rules, allowed texts and packs of the server as a JSON file."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    rows = await app.filters.all(guild_id)
    text = await asyncio.to_thread(lambda: files.write(map(entry_of, rows)))
    file = discord.File(io.BytesIO(text.encode()), "rules.json")
    await tell(interaction, _("{rules}; /filter import reads this file again.", rules=_rules(len(rows))), file=file)


def automod_items(rules: Iterable[discord.AutoModRule]) -> Iterator[Item]:
    """The entries of AutoMod's keyword rules; a rule that is off stays off."""
    return (item for rule in rules for item in _of_automod(rule))


async def _items(interaction: Interaction, app: App, file: discord.Attachment | None) -> list[Item]:
    """The entries of a file or of AutoMod; entries that would exempt the moderator's own role are wrong."""
    items = await (_read(interaction, app, file) if file else _automod(interaction, app))
    bound = frozenset(map(str, bound_roles(interaction)))
    return [
        replace(item, entry=None, problem=_(OWN_ROLE))
        if item.entry and frees(bound, None, (item.entry.is_allow, item.entry.scope))
        else item
        for item in items
    ]


async def _read(interaction: Interaction, app: App, file: discord.Attachment) -> list[Item]:
    if file.size > MOST_BYTES:
        raise BadRule(_(TOO_LARGE))
    async with download(app, interaction.user.id, file) as data:
        try:
            text = decode(data, _("That file"))
        except BadText as error:
            raise BadRule(str(error)) from error
    return await app.filters.read(cast("int", interaction.guild_id), text, file.filename)


async def _automod(interaction: Interaction, app: App) -> list[Item]:
    guild = cast("discord.Guild", interaction.guild)
    try:
        rules = await guild.fetch_automod_rules()
    except discord.Forbidden as error:
        raise BadRule(_(NO_PERMISSION)) from error
    items = await app.filters.by_some(guild.id, automod_items(rules))
    if not items:
        raise BadRule(_(NO_KEYWORDS))
    return items


def _of_automod(rule: discord.AutoModRule) -> Iterator[Item]:
    trigger = rule.trigger
    if trigger.type == Trigger.keyword_preset:
        yield Item(rule.name, None, _(PRESET))
    if trigger.type != Trigger.keyword:
        return
    use: dict[str, Any] = {
        "action": RuleAction.LOG,
        "is_on": rule.enabled,
        "scope": ANYWHERE.exempting(channels=rule.exempt_channel_ids, roles=rule.exempt_role_ids),
    }
    for action in rule.actions:
        if action.type == discord.AutoModRuleActionType.block_message:
            use |= {"action": RuleAction.BLOCK, "reason": (action.custom_message or "")[:MAX_REASON]}
    for word in trigger.keyword_filter:
        yield _item(rule.name, Entry(pattern=word, **use))
    for regex in trigger.regex_patterns:
        yield _item(rule.name, Entry(pattern=regex, kind=RuleKind.REGEX, **use))
    for word in trigger.allow_list:
        yield _item(rule.name, Entry(pattern=word, is_allow=True, is_on=rule.enabled))


def _item(name: str, entry: Entry) -> Item:
    label = f"{name}, {cut(entry.pattern, texts.PATTERN_LENGTH)}"
    try:
        return Item(label, entry.checked())
    except BadRule as error:
        return Item(label, None, str(error))


async def _add(interaction: Interaction, app: App, guild_id: int, items: Sequence[Item], *, is_automod: bool) -> None:
    """Add the rules in one change, and show the result."""
    await interaction.edit_original_response(content=_("Adding {rules} …", rules=_rules(len(items))), view=None)
    entries = [item.entry for item in items if item.entry]
    problems = [item.complaint for item in items if item.problem]
    done = await app.filters.put_all(guild_id, entries, interaction.user.id, bound=bound_roles(interaction))
    parts = [_("{rules} added", rules=_rules(done.added)) if entries or problems else _(EMPTY)]
    parts += [_("{number} there already", number=done.known)] if done.known else []
    parts += [_("{number} not added", number=len(problems))] if problems else []
    text = _("{parts}.", parts=semicolons(parts)) + f" {_(ALLOWED_HERE)}" * is_automod
    buttons = view([UndoButton(done.change_id)] if done.change_id else [])
    content, listed = with_file([text], problems, "lines.txt", _small)
    await interaction.edit_original_response(content=content, attachments=listed, view=buttons)


def _nothing_yet(lines: int) -> str:
    return ngettext("Nothing is added yet; look at 1 line:", "Nothing is added yet; look at {number} lines:", lines)


def _others(rules: int) -> str:
    return ngettext("Add the other rule", "Add the other {number} rules", rules)


def _small(line: str) -> str:
    return f"-# {job_messages.plain(line, 200)}"


def _rules(number: int) -> str:
    return ngettext("1 rule", "{number} rules", number)
