"""The log of moderators' changes, newest first, with undo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.cards import view
from limner.bot.limits import DESCRIPTION, fit
from limner.bot.storage import audit_log
from limner.bot.storage.audit_log import ChangePage
from limner.bot.storage.tables.filter_tables import FilterChange
from limner.bot.storage.wildcard_lists import PART
from limner.bot.translation import N_, _
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.controls import NUMBER, ForModerators
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import bound_roles, managers_only, tell

Interaction = discord.Interaction[Any]

NOTHING_YET = N_("Nobody has changed a rule or a setting here yet.")


class LogButton(ForModerators[discord.ui.Button[Any]], template=r"limner:log:page:(?P<number>[0-9]{1,9})"):
    """Turns a page of the log."""

    def __init__(self, label: str, number: int) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:log:page:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls("", int(match["number"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Replace the shown page."""
        page = await audit_log.page(app.database, guild_id, self.number)
        await interaction.response.edit_message(embed=_listed(page), view=_view(page))


class UndoSelect(ForModerators[discord.ui.Select[Any]], template=r"limner:log:undo"):
    """Undoes one of the changes on a page."""

    @classmethod
    def of(cls, some: Sequence[FilterChange]) -> Self:
        """A choice among the changes of a page."""
        options = [discord.SelectOption(label=texts.label(one), value=str(one.id)) for one in some]
        return cls(discord.ui.Select(custom_id="limner:log:undo", placeholder=_("Undo a change"), options=options))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Undo the change and say so."""
        await undo(interaction, app, guild_id, int(self.item.values[0]))


class UndoButton(ForModerators[discord.ui.Button[Any]], template=rf"limner:log:undo:(?P<change>{NUMBER})"):
    """Undoes the change that a message reports."""

    def __init__(self, change_id: int) -> None:
        super().__init__(discord.ui.Button(label=_("Undo"), custom_id=f"limner:log:undo:{change_id}"))
        self.change_id = change_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(int(match["change"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Undo the change and say so."""
        await undo(interaction, app, guild_id, self.change_id)


async def show(interaction: Interaction, app: App, guild_id: int) -> None:
    """The first page of a server's log."""
    page = await audit_log.page(app.database, guild_id)
    if not page.changes:
        await tell(interaction, _(NOTHING_YET))
    else:
        await tell(interaction, "", embed=_listed(page), view=_view(page))


async def undo(interaction: Interaction, app: App, guild_id: int, change_id: int) -> None:
    """Undo one change; a change that needs Manage Server needs it for the undo too."""
    change = await audit_log.get(app.database, guild_id, change_id)
    if "settings" in change.after:
        managers_only(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)
    if PART in change.after:
        await app.wildcards.given.take_back(change, interaction.user.id)
    else:
        await app.filters.undo(guild_id, change_id, interaction.user.id, bound=bound_roles(interaction))
    await tell(
        interaction, _("Change {change} is undone; that is in /filter log too, and can be undone.", change=change.id)
    )


def _listed(page: ChangePage) -> discord.Embed:
    changed = fit(list(map(texts.change, page.changes)), DESCRIPTION)
    return make_embed(
        _("What moderators changed"),
        changed,
        footer=_("Page {number} of {pages}", number=page.number, pages=page.pages),
    )


def _view(page: ChangePage) -> discord.ui.View:
    items: list[Any] = [UndoSelect.of(page.changes)]
    if page.number > 1:
        items.append(LogButton(_("Newer"), page.number - 1))
    if page.number < page.pages:
        items.append(LogButton(_("Older"), page.number + 1))
    return view(items)
