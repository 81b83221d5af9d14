"""The screen of /server: one page of settings at a time, under a list of the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.guild_settings import GuildSettings
from limner.bot.moderation.access import EVERYTHING
from limner.bot.translation import N_, _
from limner.bot.ui.controls import ForManagers
from limner.bot.ui.interactions import SILENT, use_languages

Interaction = discord.Interaction[Any]
Item = discord.ui.Item[Any]
Maker = Callable[[App, GuildSettings, discord.Guild | None, str], list[Item]]
"""Makes the items of a page with the current values; the text is what the page is about, if it is about one thing."""

PAGES = {
    "painting": N_("Painting"),
    "access": N_("Channels and roles"),
    "quotas": N_("Quotas"),
    "review": N_("Review and strikes"),
    "rules": N_("House rules"),
    "styles": N_("Styles of this server"),
    "gallery": N_("Gallery channel"),
    "keeping": N_("How long requests are kept"),
}
TITLE = N_("Settings of this server")
NOTE = N_("A change counts at once; /filter log lists every change, with undo.")
MAKERS: dict[str, Maker] = {}
"""What makes each page."""


def page(name: str) -> Callable[[Maker], Maker]:
    """Register what makes a page."""

    def register(make: Maker) -> Maker:
        MAKERS[name] = make
        return make

    return register


class PageSelect(ForManagers[discord.ui.Select[Any]], template=r"limner:server:page"):
    """Turns to another page."""

    @classmethod
    def of(cls, page: str) -> Self:
        """A choice among the pages."""
        options = [
            discord.SelectOption(label=_(title), value=name, default=name == page) for name, title in PAGES.items()
        ]
        return cls(discord.ui.Select(custom_id="limner:server:page", options=options))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Show the page."""
        await refresh(interaction, app, guild_id, self.item.values[0])


async def refresh(interaction: Interaction, app: App, guild_id: int, page: str, subject: str = EVERYTHING) -> None:
    """Replace the shown page, or the sentence under which its form was opened again."""
    await use_languages(interaction, app)
    view = screen(app, await app.guilds.get(guild_id), interaction.guild, page, subject)
    await interaction.response.edit_message(content=None, embeds=[], view=view, allowed_mentions=SILENT)


def screen(
    app: App, settings: GuildSettings, guild: discord.Guild | None, page: str, subject: str = EVERYTHING
) -> discord.ui.LayoutView:
    """A page with the current values."""
    box: discord.ui.Container[Any] = discord.ui.Container(discord.ui.TextDisplay(f"### {_(TITLE)}\n{_(NOTE)}"))
    box.add_item(row(PageSelect.of(page)))
    for item in MAKERS[page](app, settings, guild, subject):
        box.add_item(item)
    return discord.ui.LayoutView(timeout=None).add_item(box)


def row(item: Item) -> discord.ui.ActionRow[Any]:
    """A row with one item."""
    return discord.ui.ActionRow(item)
