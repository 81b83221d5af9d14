"""Translations of command and option names and descriptions for Discord."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.app_commands import TranslationContextLocation as Location

from limner.bot.translation import ENGLISH, _, nearest, pgettext, speaking

NAME = "name of a command or an option"
"""The catalogues' context of these names, of which Discord takes 32 letters, digits, - and _ without capitals."""
NAMES = (Location.command_name, Location.group_name, Location.parameter_name)


class CommandNames(app_commands.Translator):
    """Translates from the catalogues; untranslated texts stay English."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContext[Any, Any],
    ) -> str | None:
        """The translation of a name or description; None if there is none."""
        if nearest(str(locale)) == ENGLISH:
            return None
        is_name = context.location in NAMES and not isinstance(context.data, app_commands.ContextMenu)
        with speaking(str(locale)):
            translated = pgettext(NAME, string.message) if is_name else _(string.message)
        return translated if translated != string.message else None
