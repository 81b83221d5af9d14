"""What all groups of commands share: checked options and answered errors."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.translation import N_, _
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import use_languages

Interaction = discord.Interaction[Any]

NO_SUCH_VALUE = N_("This command does not offer that value for the option {name}; choose another one.")


class NotOffered(BadOption, app_commands.CheckFailure):
    """An option has a value that its command does not offer; choose another one."""


class LimnerCog(commands.Cog):
    """A group of commands over one App."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Check a command's options again, because any program can send values that Discord's client would not.

        Raises:
            NotOffered: a value, a length or a choice is not offered by the command.
        """
        await use_languages(interaction, self.app)
        given = dict(iter(interaction.namespace))
        if isinstance(interaction.command, app_commands.Command):
            for option in interaction.command.parameters:
                if option.display_name in given and not _is_offered(option, given[option.display_name]):
                    raise NotOffered(_(NO_SUCH_VALUE, name=option.display_name))
        return True

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Handles the errors of every command."""
        await answer_error(interaction, error)


def _is_offered(option: app_commands.Parameter, value: Any) -> bool:
    size = len(value) if isinstance(value, str) else value
    if option.choices and value not in [choice.value for choice in option.choices]:
        return False
    return (option.min_value is None or size >= option.min_value) and (
        option.max_value is None or size <= option.max_value
    )
