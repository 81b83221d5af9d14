"""The form of a server's house rules."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.server.screen import refresh
from limner.bot.moderation.house_rules import MOST
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, paragraph
from limner.bot.ui.interactions import managers_only, moderated
from limner.bot.ui.typed import HEADINGS

Interaction = discord.Interaction[Any]

TITLE = N_("House rules")
EMPTY = N_("Empty: members accept nothing. Another text is asked about again.")


class HouseRulesForm(Form, kind="houserules"):
    """Asks for the text."""

    def __init__(self, rules: str) -> None:
        super().__init__(_(TITLE))
        self.ask("house_rules", _(HEADINGS["house_rules"]), paragraph(rules, MOST, required=False), _(EMPTY))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For members with Manage Server."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        return cls((await app.guilds.get(guild_id)).house_rules)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save the text."""
        guild_id = await moderated(interaction, app)
        await app.guilds.change(guild_id, interaction.user.id, house_rules=self.text("house_rules").strip())
        await refresh(interaction, app, guild_id, "rules")
