"""The `/server` command."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.cogs.server import controls, pages
from limner.bot.cogs.server.forms import NumbersForm, QuotaForm, ServerNameForm
from limner.bot.cogs.server.house_rules_form import HouseRulesForm
from limner.bot.cogs.server.screen import PageSelect, screen
from limner.bot.cogs.server.style_form import ServerStyleForm
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import SILENT, managers_only, moderated

Interaction = discord.Interaction[Any]

ITEMS = (
    PageSelect,
    controls.ServerSelect,
    controls.SubjectSelect,
    controls.AccessChannels,
    controls.AccessRoles,
    controls.QuotaRole,
    controls.ModeratorRoles,
    controls.ReviewPlace,
    controls.GalleryPlace,
    controls.StyleSelect,
    controls.ServerButton,
)
"""The controls of the screen."""
FORMS = (HouseRulesForm, NumbersForm, QuotaForm, ServerNameForm, ServerStyleForm)


class ServerCog(LimnerCog, name="Limner server"):
    """A server's settings."""

    @app_commands.command()
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_guild=True)
    async def server(self, interaction: Interaction) -> None:
        """Show and change the settings of this server."""
        guild_id = await moderated(interaction, self.app)
        managers_only(interaction)
        view = screen(self.app, await self.app.guilds.get(guild_id), interaction.guild, pages.FIRST)
        await interaction.response.send_message(view=view, ephemeral=True, allowed_mentions=SILENT)
