"""Rules that come in from files and from the server's own AutoMod, and go out as a file."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Sequence
from typing import Any, cast

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.cards import view
from limner.bot.cogs.filter.log import UndoButton
from limner.bot.errors import BadRule
from limner.bot.filters import files
from limner.bot.filters.entries import MAX_REASON, Entry
from limner.bot.filters.files import Item
from limner.bot.filters.rulebook import Import, entry_of
from limner.bot.filters.rules import Action, Kind
from limner.bot.filters.scopes import ANYWHERE
from limner.bot.ui import job_messages
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.interactions import tell
from limner.bot.ui.uploads import download
from limner.generators.text_files import BadText, decode

Interaction = discord.Interaction[Any]
Trigger = discord.AutoModRuleTriggerType

MOST_BYTES = 8 * 2**20
SHOWN = 15
"""Lines that cannot be rules and are told in the message itself; a file has all of them."""
TOO_LARGE = "That file is larger than 8 MB; divide it into several."
EMPTY = "There are no rules in that file"
NO_PERMISSION = (
    "I need the permission Manage Server to read this server's AutoMod rules; give it to my role for that moment, "
    "or attach a file."
)
NO_KEYWORDS = "This server's AutoMod has no keyword rules; attach a file with rules, or look at /filter packs."
PRESET = "Discord keeps the words of its own lists to itself; /filter packs has lists of ours"
ALLOWED_HERE = "What AutoMod allows beside one of its rules is allowed beside all rules here."


async def bring_in(interaction: Interaction, app: App, guild_id: int, file: discord.Attachment | None) -> None:
    """Add what a file or AutoMod holds in one change, and tell what could not be added and why."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    items = await _read(app, interaction.user.id, file) if file else await _automod(interaction)
    await interaction.edit_original_response(content=f"Adding {_rules(len(items))} …")
    entries = [item.entry for item in items if item.entry]
    done = await app.filters.put_all(guild_id, entries, interaction.user.id)
    problems = [f"{item.label}: {item.problem}" for item in items if item.entry is None]
    await _report(interaction, done, problems, is_automod=file is None)


async def send_out(interaction: Interaction, app: App, guild_id: int) -> None:
    """All rules, allowed texts and packs of the server as a JSON file."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    rows = await app.filters.all(guild_id)
    text = await asyncio.to_thread(lambda: files.write(map(entry_of, rows)))
    file = discord.File(io.BytesIO(text.encode()), "rules.json")
    await tell(interaction, f"{_rules(len(rows))}; /filter import reads this file again.", file=file)


def automod_items(rules: Iterable[discord.AutoModRule]) -> list[Item]:
    """What AutoMod's keyword rules are here; a rule that is off stays off."""
    return [item for rule in rules for item in _of_automod(rule)]


async def _read(app: App, user_id: int, file: discord.Attachment) -> list[Item]:
    if file.size > MOST_BYTES:
        raise BadRule(TOO_LARGE)
    is_json = file.filename.lower().endswith((".json", ".jsonl"))
    async with download(app, user_id, file) as data:
        try:
            text = decode(data, "That file")
        except BadText as error:
            raise BadRule(str(error)) from error
    items = await asyncio.to_thread(files.read_json if is_json else files.read_lines, text)
    return [item.merged() for item in items]


async def _automod(interaction: Interaction) -> list[Item]:
    guild = cast("discord.Guild", interaction.guild)
    try:
        rules = await guild.fetch_automod_rules()
    except discord.Forbidden as error:
        raise BadRule(NO_PERMISSION) from error
    items = await asyncio.to_thread(automod_items, rules)
    if not items:
        raise BadRule(NO_KEYWORDS)
    return items


def _of_automod(rule: discord.AutoModRule) -> list[Item]:
    trigger = rule.trigger
    if trigger.type == Trigger.keyword_preset:
        return [Item(rule.name, None, PRESET)]
    if trigger.type != Trigger.keyword:
        return []
    use: dict[str, Any] = {
        "action": Action.LOG,
        "is_on": rule.enabled,
        "scope": ANYWHERE.exempting(channels=rule.exempt_channel_ids, roles=rule.exempt_role_ids),
    }
    for action in rule.actions:
        if action.type == discord.AutoModRuleActionType.block_message:
            use |= {"action": Action.BLOCK, "reason": (action.custom_message or "")[:MAX_REASON]}
    return [
        *(_item(rule.name, Entry(pattern=word, **use)) for word in trigger.keyword_filter),
        *(_item(rule.name, Entry(pattern=regex, kind=Kind.REGEX, **use)) for regex in trigger.regex_patterns),
        *(_item(rule.name, Entry(pattern=word, is_allow=True, is_on=rule.enabled)) for word in trigger.allow_list),
    ]


def _item(name: str, entry: Entry) -> Item:
    label = f"{name}, {job_messages.cut(entry.pattern, texts.PATTERN_LENGTH)}"
    try:
        return Item(label, entry.checked())
    except BadRule as error:
        return Item(label, None, str(error))


async def _report(interaction: Interaction, done: Import, problems: Sequence[str], *, is_automod: bool) -> None:
    parts = [f"{_rules(done.added)} added" if done.added or done.known or problems else EMPTY]
    parts += [f"{done.known} there already"] if done.known else []
    parts += [f"{len(problems)} not added"] if problems else []
    text = "; ".join(parts) + "."
    shown = "\n".join(f"-# {job_messages.plain(problem, 200)}" for problem in problems[:SHOWN])
    more = f"\n-# … and {len(problems) - SHOWN} more, in the file" if len(problems) > SHOWN else ""
    content = job_messages.cut(f"{text}{' ' + ALLOWED_HERE if is_automod else ''}\n{shown}{more}", 2000)
    listed = "\n".join(problems).encode()
    attached = [discord.File(io.BytesIO(listed), "not-added.txt")] if len(problems) > SHOWN else []
    buttons = view([UndoButton(done.change_id)] if done.change_id else [])
    await interaction.edit_original_response(content=content, attachments=attached, view=buttons)


def _rules(number: int) -> str:
    return "1 rule" if number == 1 else f"{number} rules"
