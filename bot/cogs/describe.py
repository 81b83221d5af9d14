"""/describe, and Describe in a message's Apps menu: describes a picture."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cogs.improve import LINK
from limner.bot.errors import CannotDescribe
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import app_of, use_languages
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.given_pictures import GivenPicture, ask_about, given, in_message

Interaction = discord.Interaction[Any]

MENU = "Describe"


class Describe(LimnerCog, name="Limner describe"):
    """From pictures to words."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(picture="What is to be described: PNG, JPEG, WebP, GIF or BMP", link=LINK)
    async def describe(
        self, interaction: Interaction, picture: discord.Attachment | None = None, link: str | None = None
    ) -> None:
        """Say in words what a picture shows; the words can be painted."""
        await _describe(interaction, self.app, await given(interaction, self.app, picture, link))


def describe_menu() -> app_commands.ContextMenu:
    """The entry in a message's menu, Apps."""
    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
    menu = app_commands.ContextMenu(name=MENU, callback=_describe_message, allowed_contexts=contexts)
    menu.error(answer_error)
    return menu


async def _describe_message(interaction: Interaction, message: discord.Message) -> None:
    """The same for the first picture of a message."""
    app = app_of(interaction.client)
    await use_languages(interaction, app)
    await _describe(interaction, app, await in_message(interaction, app, message))


async def _describe(interaction: Interaction, app: App, picture: GivenPicture) -> None:
    if not app.settings.image_text_model:
        raise CannotDescribe  # before the download
    job = await submit.describe(app, await ask_about(interaction, app, picture))
    await post_placeholder(interaction, app, job)
