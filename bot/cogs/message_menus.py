"""Start from this, Details and Reuse settings in a message's Apps menu."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture
from limner.bot.reasons import JobKind
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.form import open_form
from limner.bot.ui.interactions import app_of, readable, speak_privately, tell, viewed
from limner.bot.ui.job.job_buttons import job_of, show_details
from limner.bot.ui.picture.picture_buttons import TakeButton, picture_items, start
from limner.bot.ui.request.imagine_form import open_for_upload, settings_of

Interaction = discord.Interaction[Any]
Chosen = Callable[[Interaction, App, discord.Message], Awaitable[None]]

START, DETAILS, REUSE = "Start from this", "Details", "Reuse settings"
NO_PICTURE = N_("There is no picture in that message to start from; choose another message.")
NOT_TAKEN = N_("That picture is somebody else's; start from one that you posted yourself, or from one that I painted.")
NO_REQUEST = N_("That message shows no request of mine; choose one with pictures that I painted.")
NO_SETTINGS = N_("That request described a picture, so it has no settings to reuse.")
WHICH = N_("Which picture do you start from?")


def message_menus() -> list[app_commands.ContextMenu]:
    """The entries in a message's menu, Apps."""
    return [_menu(START, _start), _menu(DETAILS, _details), _menu(REUSE, _reuse)]


def _menu(name: str, act: Chosen) -> app_commands.ContextMenu:
    async def choose(interaction: Interaction, message: discord.Message) -> None:
        speak_privately(interaction)
        await act(interaction, app_of(interaction.client), message)

    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
    menu = app_commands.ContextMenu(name=name, callback=choose, allowed_contexts=contexts)
    menu.error(answer_error)
    return menu


async def _start(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Open the form with a picture of the message: one of the bot's, or the member's own upload."""
    if message.author == interaction.client.user:
        return await _start_from_result(interaction, app, message)
    uploads = [file for file in message.attachments if (file.content_type or "").startswith("image/")]
    if not uploads:
        raise BadPicture(_(NO_PICTURE))
    if message.author != interaction.user:
        raise BadPicture(_(NOT_TAKEN))
    await open_for_upload(interaction, app, uploads[0])


async def _start_from_result(interaction: Interaction, app: App, message: discord.Message) -> None:
    job_id = job_of(message)
    pictures = picture_items(await app.jobs.get(job_id)) if job_id else []
    if not pictures:
        raise BadPicture(_(NO_PICTURE))
    job = await viewed(interaction, app, pictures[0].job_id, pictures[0].number)
    if len(pictures) == 1:
        return await start(interaction, app, job, pictures[0].number)
    view = discord.ui.View(timeout=None)
    for one in pictures:
        view.add_item(TakeButton("start", job.id, one.number, str(one.number)))
    await tell(interaction, _(WHICH), view=view)


async def _details(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Tell the member how the message's pictures were made."""
    await show_details(interaction, app, await _request_of(interaction, app, message))


async def _reuse(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Open the form with the words and settings of the message's request."""
    job = await _request_of(interaction, app, message)
    if job.kind == JobKind.DESCRIBE:
        raise BadOption(_(NO_SETTINGS))
    await open_form(interaction, app, "imagine", given=settings_of(app, job))


async def _request_of(interaction: Interaction, app: App, message: discord.Message) -> Job:
    job_id = job_of(message) if message.author == interaction.client.user else None
    if job_id is None:
        raise BadPicture(_(NO_REQUEST))
    return await readable(interaction, app, job_id)
