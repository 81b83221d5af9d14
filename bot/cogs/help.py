"""/help: the commands that a member may use here. The answer is private."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import NotModerator
from limner.bot.translation import N_, _, pgettext
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.command_names import NAME
from limner.bot.ui.interactions import moderated
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list

Interaction = discord.Interaction[Any]
Entry = app_commands.Command[Any, ..., Any] | app_commands.ContextMenu

TITLE = N_("What you can do here")
BEGIN = N_("Begin with /imagine and an idea, such as: a red fox in the snow")
IN_MENU = N_("in a message's menu, under Apps")


class Help(LimnerCog, name="Limner help"):
    """Where a newcomer begins."""

    @app_commands.command(name="help")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def show(self, interaction: Interaction) -> None:
        """Show what you can do here with this bot."""
        await show_list(interaction, self.app, "help")


@listed("help")
async def _entries(interaction: Interaction, app: App, _subject: int, number: int) -> Listing:
    lines = [_line(entry) for entry in _ours(interaction.client) if await _is_offered(interaction, app, entry)]
    number, pages = page_of(len(lines), number)
    return Listing(_(TITLE), lines[(number - 1) * PAGE : number * PAGE], number, pages, note=_(BEGIN))


def _ours(client: Any) -> Iterator[Entry]:
    """Limner's own commands and menus, which a host bot may have beside others; those for everybody first."""
    tree: app_commands.CommandTree[Any] = client.tree
    commands = [one for one in tree.walk_commands() if isinstance(one, app_commands.Command)]
    entries: list[Entry] = [*commands, *tree.get_commands(type=discord.AppCommandType.message)]
    ours = [one for one in entries if (one.module or "").startswith("limner.")]
    yield from sorted(ours, key=lambda one: (_is_for_moderators(one), isinstance(one, app_commands.ContextMenu)))


def _is_for_moderators(entry: Entry) -> bool:
    root = (entry.root_parent or entry) if isinstance(entry, app_commands.Command) else entry
    return root.default_permissions is not None


async def _is_offered(interaction: Interaction, app: App, entry: Entry) -> bool:
    if not _is_for_moderators(entry):
        return True
    try:
        await moderated(interaction, app)
    except (NotModerator, app_commands.NoPrivateMessage):
        return False
    return True


def _line(entry: Entry) -> str:
    if isinstance(entry, app_commands.ContextMenu):
        return f"**{_(entry.name)}** · {_(IN_MENU)}"
    name = " ".join(pgettext(NAME, part) for part in entry.qualified_name.split())
    return f"**/{name}** · {discord.utils.escape_markdown(_(entry.description))}"
