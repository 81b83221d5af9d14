"""/queue and /cancel: a member's own requests, and cancelling them."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import cut
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import owned, tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.job.job_buttons import stop
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list
from limner.bot.ui.suggestions import choices, few_at_once

Interaction = discord.Interaction[Any]

NOTHING = N_("You have no request waiting or running.")
PAUSED = {
    "disk": N_("Nothing is painted at the moment, because the bot's disk is full; requests wait until there is room."),
    "readonly": N_(
        "Nothing is painted at the moment, because the bot cannot store pictures; requests wait until it can."
    ),
}
"""Sentences for when no worker can store a picture, by the workers' trouble code."""
SHORT = 60
"""Characters of an idea in a list."""


class Queue(LimnerCog, name="Limner queue"):
    """What is waiting and running."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def queue(self, interaction: Interaction) -> None:
        """Show your waiting and running requests: position and time left."""
        await show_list(interaction, self.app, "queue")

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(request="The number of the request; needed when you have more than one")
    async def cancel(self, interaction: Interaction, request: int | None = None) -> None:
        """Stop one of your requests; moderators also stop others' in this channel."""
        number = (await self._only(interaction)).id if request is None else request
        job = await owned(interaction, self.app, number, or_cleaner=True)
        await tell(interaction, await stop(self.app, job, interaction.user.id))

    @cancel.autocomplete("request")
    @few_at_once
    async def _find(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[int]]:
        mine = await self.app.jobs.open_jobs(interaction.user.id)
        named = ((cut(f"{job.id}: {job.idea or job.input_name}", SHORT), job.id) for job in mine)
        return choices((name, job_id) for name, job_id in named if str(typed).casefold() in name.casefold())

    async def _only(self, interaction: Interaction) -> Job:
        mine = await self.app.jobs.open_jobs(interaction.user.id)
        if not mine:
            raise BadOption(_(NOTHING))
        if len(mine) > 1:
            raise BadOption(_("You have more than one request; choose which in the option `request`."))
        return mine[0]


@listed("queue")
async def _mine(interaction: Interaction, app: App, subject: int, number: int) -> Listing:
    mine = await app.jobs.open_jobs(interaction.user.id)
    queued, running = await app.jobs.counts()
    number, pages = page_of(len(mine), number)
    lines = [await _line(app, job) for job in mine[(number - 1) * PAGE : number * PAGE]]
    note = _("Everybody's together: {queued} waiting, {running} running.", queued=queued, running=running)
    if trouble := await app.worker_registry.trouble():
        note = f"{_(PAUSED[trouble])}\n{note}"
    return Listing(_("Your requests"), lines or [_(NOTHING)], number, pages, note)


async def _line(app: App, job: Job) -> str:
    return f"**{job.id}** · {job_messages.plain(job.idea or job.input_name, SHORT)} · {await _standing(app, job)}"


async def _standing(app: App, job: Job) -> str:
    if job.status == JobStatus.RUNNING:
        return _("painting, step {step} of {steps}", step=job.step, steps=job.steps)
    if job.held_at is not None:
        return _("waits for your Keep, Edit or Raw")
    return job_messages.standing(await app.jobs.position(job))
