"""/verify, and Verify in a message's Apps menu: whether a picture was made here. Every answer is private."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot import verify
from limner.bot.app import App
from limner.bot.cogs.improve import LINK
from limner.bot.errors import BadPicture
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import app_of, moderates, tell, use_languages
from limner.bot.ui.nearest_blocked import nearest_line
from limner.bot.ui.picture.given_pictures import (
    NO_PICTURE,
    ONE_PICTURE,
    GivenFile,
    GivenPicture,
    files_of,
    message_of,
    posted_in,
)
from limner.bot.ui.uploads import download

Interaction = discord.Interaction[Any]

MENU = "Verify"


class Verify(LimnerCog, name="Limner verify"):
    """Where pictures come from."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(picture="The picture file that you want to know about", link=LINK)
    async def verify(
        self, interaction: Interaction, picture: discord.Attachment | None = None, link: str | None = None
    ) -> None:
        """Say whether a picture was made here or with AI, and how sure that is."""
        if (picture is None) == (not link):
            raise BadPicture(_(ONE_PICTURE))
        if picture:
            await _verify(interaction, self.app, GivenFile(picture))
        else:
            message, number = await message_of(interaction, link or "")
            await _verify(interaction, self.app, await _in_message(interaction, self.app, message, number))


def verify_menu() -> app_commands.ContextMenu:
    """The entry in a message's menu."""
    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
    menu = app_commands.ContextMenu(name=MENU, callback=_verify_message, allowed_contexts=contexts)
    menu.error(answer_error)
    return menu


async def _verify_message(interaction: Interaction, message: discord.Message) -> None:
    """The same for the first picture of a message."""
    app = app_of(interaction.client)
    await use_languages(interaction, app)
    await _verify(interaction, app, await _in_message(interaction, app, message))


async def _in_message(interaction: Interaction, app: App, message: discord.Message, number: int = 1) -> GivenPicture:
    """A picture of anybody's message: nothing is made of it, so nobody is asked for leave."""
    if message.author == interaction.client.user:
        return await posted_in(interaction, app, message, number)
    files = files_of(message)
    if len(files) < number:
        raise BadPicture(_(NO_PICTURE))
    return GivenFile(files[number - 1])


async def _verify(interaction: Interaction, app: App, picture: GivenPicture) -> None:
    if isinstance(picture, GivenFile):
        app.inputs.check_size(picture.file.size)
    await interaction.response.defer(ephemeral=True, thinking=True)
    if isinstance(picture, GivenFile):
        async with download(app, interaction.user.id, picture.file) as data:
            found = await verify.verify(app, data)
    else:
        found = await verify.verify_stored(app, picture.job, picture.number)
    is_moderator = await moderates(interaction, app)

    def may_know(job: Job) -> bool:
        return job.user_id == interaction.user.id or (is_moderator and job.guild_id == interaction.guild_id)

    lines = [*verify.sentences(found, may_know)]
    if is_moderator:
        hashes = PictureHashes.of_text(found.evidence.hashes)
        lines.append(await nearest_line(app, interaction.guild_id, [hashes]))
    await tell(interaction, "\n".join(filter(None, lines)))
