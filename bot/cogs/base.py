"""What all commands and buttons share: the App, and how an error is answered."""

from __future__ import annotations

import logging
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.app import App
from bot.errors import UserError
from generators.base import place_of

log = logging.getLogger(__name__)

OUR_FAULT = "That failed on our side, and the operator can see why in the log; nothing of yours is lost."
SILENT = discord.AllowedMentions.none()
"""Nothing that Limner writes pings anybody."""


class LimnerCog(commands.Cog):
    """A group of commands over one App."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def cog_app_command_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError
    ) -> None:
        """Every error of every command ends here."""
        await answer_error(interaction, error)


async def answer_error(interaction: discord.Interaction[Any], error: Exception) -> None:
    """Tell the one who asked, and nobody else, what went wrong and what to do."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    await tell(interaction, _sentence(cause))


async def tell(interaction: discord.Interaction[Any], text: str, **more: Any) -> None:
    """Write a message that only the one who asked can see."""
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=SILENT, **more)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=SILENT, **more)


def role_ids(interaction: discord.Interaction[Any]) -> list[int]:
    """The roles of the one who asks; none outside servers."""
    return [role.id for role in interaction.user.roles] if isinstance(interaction.user, discord.Member) else []


def app_of(client: discord.Client) -> App:
    """The App that `bot.setup` opened for this client."""
    return vars(client)["limner"]


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, app_commands.MissingPermissions):
        return "Only members with the Manage Server permission can do that."
    if isinstance(error, app_commands.NoPrivateMessage):
        return "That works in a server only."
    log.error("command_failed reason=%s", place_of(error))
    return OUR_FAULT
