"""Answers an error of a command, control or form: privately, in a sentence, with the typed text."""

from __future__ import annotations

import logging
from typing import Any

import discord
from discord import app_commands

from limner.bot.errors import UserError
from limner.bot.limits import CONTENT, cut
from limner.bot.translation import N_, _, stored
from limner.bot.ui.interactions import speak_privately, tell
from limner.bot.ui.typed import give_back
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

OUR_FAULT = N_(
    "That failed because of an error in the bot; its operator finds the cause in the log. Nothing of yours is lost."
)


async def answer_error(interaction: Interaction, error: Exception) -> None:
    """Show an error privately with what to do, and return the typed text."""
    speak_privately(interaction)
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    await tell(interaction, cut(_sentence(cause), CONTENT), **await give_back(interaction, cause))


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return stored(str(error))
    if isinstance(error, app_commands.MissingPermissions):
        return _("Only members with the Manage Server permission can do that.")
    if isinstance(error, app_commands.NoPrivateMessage):
        return _("That works in a server only.")
    log.error("command_failed reason=%s", error_site(error))
    return _(OUR_FAULT)
