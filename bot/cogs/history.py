"""/history: a member's own pictures, with filters and search; only the member sees the answer."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import owned
from limner.bot.ui.picture.gallery import Browsing, open_request, show_page
from limner.bot.ui.suggestions import choices, few_at_once

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice

SEARCH_LENGTH = 60
NAME_LENGTH = 40


class HistoryCog(LimnerCog, name="Limner history"):
    """What one has made."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.rename(request="id")
    @app_commands.describe(
        search='What they show, in any language, or words of theirs; "put a phrase in quotes"',
        model="Only pictures of this model",
        style="Only pictures in this style",
        lora="Only pictures with this LoRA",
        upscaled="Only pictures that were upscaled",
        favourites="Only your favourites",
        oldest="Begin with the oldest one",
        request="The number of one request, to open it",
    )
    async def history(
        self,
        interaction: Interaction,
        search: app_commands.Range[str, 1, SEARCH_LENGTH] = "",
        model: app_commands.Range[str, 1, NAME_LENGTH] = "",
        style: app_commands.Range[str, 1, NAME_LENGTH] = "",
        lora: app_commands.Range[str, 1, NAME_LENGTH] = "",
        *,
        upscaled: bool = False,
        favourites: bool = False,
        oldest: bool = False,
        request: app_commands.Range[int, 1] | None = None,
    ) -> None:
        """Browse, search and repeat the pictures that you have made."""
        if request is not None:
            return await open_request(interaction, self.app, await owned(interaction, self.app, request))
        browsing = Browsing(search, model, style, lora, upscaled, favourites, oldest)
        browsing.check()
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_page(interaction, self.app, browsing)

    @history.autocomplete("model")
    @few_at_once
    async def _models(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return choices((name, name) for name in self.app.settings.offered if typed.casefold() in name.casefold())

    @history.autocomplete("style")
    @few_at_once
    async def _styles(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return choices((name, name) for name in self.app.styles.presets if typed.casefold() in name.casefold())
