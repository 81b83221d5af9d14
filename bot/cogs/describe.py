"""/describe, and Describe in a message's Apps menu: describes a picture."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot import submit
from limner.bot.app import App
from limner.bot.ask import Ask
from limner.bot.errors import BadPicture, CannotDescribe
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import app_of, speak_privately, where_to_post
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.uploads import take_picture

Interaction = discord.Interaction[Any]

MENU = "Describe"
NO_PICTURE = N_("There is no picture in that message; choose one with a PNG, JPEG, WebP, GIF or BMP file.")


class Describe(LimnerCog, name="Limner describe"):
    """From pictures to words."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(picture="What is to be described: PNG, JPEG, WebP, GIF or BMP")
    async def describe(self, interaction: Interaction, picture: discord.Attachment) -> None:
        """Say in words what a picture shows; the words can be painted."""
        await _describe(interaction, self.app, picture)


def describe_menu() -> app_commands.ContextMenu:
    """The entry in a message's menu, Apps."""
    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
    menu = app_commands.ContextMenu(name=MENU, callback=_describe_message, allowed_contexts=contexts)
    menu.error(answer_error)
    return menu


async def _describe_message(interaction: Interaction, message: discord.Message) -> None:
    """The same for the first picture of a message."""
    speak_privately(interaction)
    pictures = [file for file in message.attachments if (file.content_type or "").startswith("image/")]
    if not pictures:
        raise BadPicture(_(NO_PICTURE))
    await _describe(interaction, app_of(interaction.client), pictures[0])


async def _describe(interaction: Interaction, app: App, picture: discord.Attachment) -> None:
    if not app.settings.image_text_model:
        raise CannotDescribe  # before the download
    here = where_to_post(interaction)
    ask = Ask(
        text="",
        image_name=picture.filename,
        is_spoiler=picture.is_spoiler(),
        user_id=interaction.user.id,
        locale=str(interaction.locale),
        where=here,
    )
    taken = await take_picture(interaction, app, picture, lambda: submit.check_asker(app, ask))
    await post_placeholder(interaction, app, await submit.describe(app, ask.saying(image=taken)))
