"""Start from this, Vary, Upscale, Adjust, Details, Reuse settings and Open request in a message's Apps menu."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from limner.bot import file_actions
from limner.bot.app import App
from limner.bot.cogs.improve import enhance, upscale
from limner.bot.errors import BadOption, BadPicture
from limner.bot.options.ask import find_card
from limner.bot.picture_actions import check_varies
from limner.bot.reasons import ABOUT_PICTURES
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.form import open_form
from limner.bot.ui.interactions import app_of, readable, tell, use_languages, viewed
from limner.bot.ui.job.job_buttons import job_of, post_placeholder, show_details
from limner.bot.ui.picture.card import NO_REQUEST, open_of_message
from limner.bot.ui.picture.given_pictures import NO_PICTURE, PostedPicture, ask_about, file_in
from limner.bot.ui.picture.picture_buttons import MAKING, MakeButton, TakeButton, picture_items, start
from limner.bot.ui.request.imagine_form import open_for_upload, settings_of

Interaction = discord.Interaction[Any]
Chosen = Callable[[Interaction, App, discord.Message], Awaitable[None]]

START, VARY, UPSCALE, ADJUST = "Start from this", "Vary", "Upscale", "Adjust"
DETAILS, REUSE, OPEN, REPORT = "Details", "Reuse settings", "Open request", "Report"
NO_SETTINGS = N_("That request painted nothing, so it has no settings to reuse.")
WHICH = N_("Which picture do you start from?")
WHAT = N_("What is made of it, and of which picture?")


def message_menus() -> list[app_commands.ContextMenu]:
    """The entries in a message's menu, Apps."""
    chosen = {
        START: _start,
        VARY: _vary,
        UPSCALE: _upscale,
        ADJUST: _adjust,
        DETAILS: _details,
        REUSE: _reuse,
        OPEN: open_of_message,
        REPORT: _report,
    }
    return [_menu(name, act) for name, act in chosen.items()]


def _menu(name: str, act: Chosen) -> app_commands.ContextMenu:
    async def choose(interaction: Interaction, message: discord.Message) -> None:
        app = app_of(interaction.client)
        await use_languages(interaction, app)
        await act(interaction, app, message)

    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
    menu = app_commands.ContextMenu(name=name, callback=choose, allowed_contexts=contexts)
    menu.error(answer_error)
    return menu


async def _start(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Open the form with a picture of the message."""
    if message.author != interaction.client.user:
        picture = await file_in(interaction, app, message)
        return await open_for_upload(interaction, app, picture.file)
    job, numbers = await _result(interaction, app, message)
    if len(numbers) == 1:
        return await start(interaction, app, job, numbers[0])
    view = discord.ui.View(timeout=None)
    for number in numbers:
        view.add_item(TakeButton("start", job.id, number, str(number)))
    await tell(interaction, _(WHICH), view=view)


async def _vary(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Offer the variations of a posted picture, or paint the subtle one of a file."""
    if message.author != interaction.client.user:
        picture = await file_in(interaction, app, message)
        file_actions.varying_card(app.settings)
        job = await file_actions.vary(app, await ask_about(interaction, app, picture))
        return await post_placeholder(interaction, app, job)
    job, numbers = await _result(interaction, app, message)
    check_varies(find_card(app.settings, job.request["model"]))
    await _offer(interaction, job, numbers, "subtle", "strong")


async def _upscale(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Offer the factors for a posted picture, or make a file twice as wide and high."""
    if message.author != interaction.client.user:
        return await upscale(interaction, app, await file_in(interaction, app, message))
    job, numbers = await _result(interaction, app, message)
    await _offer(interaction, job, numbers, "larger2", "larger4")


async def _adjust(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Make all adjustments of the message's picture, or ask of which one."""
    if message.author != interaction.client.user:
        return await enhance(interaction, app, await file_in(interaction, app, message))
    job, numbers = await _result(interaction, app, message)
    if len(numbers) == 1:
        return await enhance(interaction, app, PostedPicture(job, numbers[0]))
    await _offer(interaction, job, numbers, "adjust")


async def _offer(interaction: Interaction, job: Job, numbers: list[int], *verbs: str) -> None:
    """Show buttons for some verbs, of each picture."""
    view = discord.ui.View(timeout=None)
    for number in numbers:
        for verb in verbs:
            label = _(MAKING[verb][0])
            view.add_item(MakeButton(verb, job.id, number, f"{number} · {label}" if len(numbers) > 1 else label))
    await tell(interaction, _(WHAT), view=view)


async def _result(interaction: Interaction, app: App, message: discord.Message) -> tuple[Job, list[int]]:
    """The request of a message of the bot's, and the numbers of its pictures."""
    job_id = job_of(message)
    pictures = picture_items(await app.jobs.get(job_id)) if job_id else []
    if not pictures:
        raise BadPicture(_(NO_PICTURE))
    job = await viewed(interaction, app, pictures[0].job_id, pictures[0].number)
    return job, [one.number for one in pictures]


async def _details(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Tell the member how the message's pictures were made."""
    await show_details(interaction, app, await _request_of(interaction, app, message))


async def _reuse(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Open the form with the words and settings of the message's request."""
    job = await _request_of(interaction, app, message)
    if job.kind in ABOUT_PICTURES or job.is_of_file:
        raise BadOption(_(NO_SETTINGS))
    await open_form(interaction, app, "imagine", given=settings_of(app, job))


async def _report(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Open the form that reports the message's request to the moderators."""
    job = await _request_of(interaction, app, message)
    await open_form(interaction, app, "report", job.id)


async def _request_of(interaction: Interaction, app: App, message: discord.Message) -> Job:
    job_id = job_of(message) if message.author == interaction.client.user else None
    if job_id is None:
        raise BadPicture(_(NO_REQUEST))
    return await readable(interaction, app, job_id)
