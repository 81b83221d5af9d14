"""/history and /gallery: one's own pictures and a server's, with filters and search; the answers are private."""

from __future__ import annotations

from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot.errors import BadOption
from limner.bot.server_styles import styles_at
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.days import DAY_SECONDS, read_day
from limner.bot.ui.interactions import owned
from limner.bot.ui.picture.browsing import Browsing
from limner.bot.ui.picture.card import open_of_message, open_request
from limner.bot.ui.picture.gallery import show_page
from limner.bot.ui.picture.given_pictures import message_of
from limner.bot.ui.suggestions import choices, few_at_once

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice
Channel = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

SEARCH_LENGTH = 60
NAME_LENGTH = 40
DAY_LENGTH = 10
LINK_LENGTH = 200
SEARCH = 'What they show, in any language, or words of theirs; "put a phrase in quotes"'
FILTERS = {
    "search": SEARCH,
    "model": "Only pictures of this model",
    "style": "Only pictures in this style",
    "lora": "Only pictures with this LoRA",
    "channel": "Only pictures that were asked for in this channel",
    "since": "From this day on, such as 2026-11-30",
    "until": "Until this day, such as 2026-11-30",
    "upscaled": "Only pictures that were upscaled",
    "favourites": "Only your favourites",
    "oldest": "Begin with the oldest one",
}
ONE_REQUEST = N_("Give the number of a request or the link of its message, not both.")

Words = app_commands.Range[str, 1, SEARCH_LENGTH]
Name = app_commands.Range[str, 1, NAME_LENGTH]
Day = app_commands.Range[str, 1, DAY_LENGTH]


class HistoryCog(LimnerCog, name="Limner history"):
    """What one has made, and what others have."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.rename(request="id")
    @app_commands.describe(
        **FILTERS,
        whose="Your own, or this server's public ones",
        request="The number of one request, to open it",
        link="Or the link of its message",
    )
    async def history(
        self,
        interaction: Interaction,
        search: Words = "",
        model: Name = "",
        style: Name = "",
        lora: Name = "",
        channel: Channel | None = None,
        since: Day = "",
        until: Day = "",
        *,
        upscaled: bool = False,
        favourites: bool = False,
        oldest: bool = False,
        whose: Literal["mine", "server"] = "mine",
        request: app_commands.Range[int, 1] | None = None,
        link: app_commands.Range[str, 1, LINK_LENGTH] = "",
    ) -> None:
        """Browse, search and repeat the pictures that you have made."""
        if request is not None and link:
            raise BadOption(_(ONE_REQUEST))
        if request is not None:
            return await open_request(interaction, self.app, await owned(interaction, self.app, request))
        if link:
            message, _number = await message_of(interaction, link)
            return await open_of_message(interaction, self.app, message)
        switches = (upscaled, favourites, oldest, whose == "server")
        days = (_day(since), _day(until))
        await self._browse(
            interaction, Browsing(search, model, style, lora, *switches, channel.id if channel else 0, *days)
        )

    @app_commands.command()
    @app_commands.guild_only()
    @app_commands.describe(**FILTERS)
    async def gallery(
        self,
        interaction: Interaction,
        search: Words = "",
        model: Name = "",
        style: Name = "",
        lora: Name = "",
        channel: Channel | None = None,
        since: Day = "",
        until: Day = "",
        *,
        upscaled: bool = False,
        favourites: bool = False,
        oldest: bool = False,
    ) -> None:
        """Browse and search the public pictures of this server."""
        switches = (upscaled, favourites, oldest, True)
        days = (_day(since), _day(until))
        await self._browse(
            interaction, Browsing(search, model, style, lora, *switches, channel.id if channel else 0, *days)
        )

    async def _browse(self, interaction: Interaction, browsing: Browsing) -> None:
        browsing.check(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_page(interaction, self.app, browsing)

    @history.autocomplete("model")
    @gallery.autocomplete("model")
    @few_at_once
    async def _models(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return choices((name, name) for name in self.app.settings.offered if typed.casefold() in name.casefold())

    @history.autocomplete("style")
    @gallery.autocomplete("style")
    @few_at_once
    async def _styles(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        offered = styles_at(self.app, interaction.guild_id).presets
        return choices((name, name) for name in offered if typed.casefold() in name.casefold())


def _day(text: str) -> int:
    """The number of a day, counted from 1970-01-01; 0 for none."""
    return max(1, int(read_day(text) // DAY_SECONDS)) if text else 0
