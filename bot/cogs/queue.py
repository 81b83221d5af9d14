"""/queue and /cancel: where one's own requests stand, and stopping them."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.errors import BadOption
from limner.bot.storage.models import Job, JobStatus
from limner.bot.ui import job_messages
from limner.bot.ui.interactions import LimnerCog, owned, tell
from limner.bot.ui.job_buttons import stop

Interaction = discord.Interaction[Any]

NOTHING = "You have no request waiting or running."
PAUSED = {
    "disk": "Nothing is painted at the moment, because the bot's disk is full; requests wait until there is room.",
    "readonly": "Nothing is painted at the moment, because the bot cannot store pictures; requests wait until it can.",
}
"""What is said while no worker can store a picture, by the worker's trouble."""
SHORT = 60
"""Characters of an idea where several stand in a list."""
LISTED = 15


class Queue(LimnerCog, name="Limner queue"):
    """What is waiting and running."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def queue(self, interaction: Interaction) -> None:
        """Show your waiting and running requests: position and time left."""
        mine = await self.app.jobs.open_jobs(interaction.user.id)
        queued, running = await self.app.jobs.counts()
        lines = [await self._line(job) for job in mine[:LISTED]] or [NOTHING]
        if len(mine) > LISTED:
            lines.append(f"and {len(mine) - LISTED} more")
        if trouble := await self.app.roster.trouble():
            lines.append(PAUSED[trouble])
        await tell(interaction, "\n".join([*lines, f"-# Everybody's together: {queued} waiting, {running} running."]))

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(request="The number of the request; needed when you have more than one")
    async def cancel(self, interaction: Interaction, request: int | None = None) -> None:
        """Stop one of your requests; moderators also stop others' in this channel."""
        number = (await self._only(interaction)).id if request is None else request
        job = await owned(interaction, self.app, number, or_cleaner=True)
        await tell(interaction, await stop(self.app, job, interaction.user.id))

    @cancel.autocomplete("request")
    async def _find(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[int]]:
        mine = await self.app.jobs.open_jobs(interaction.user.id)
        named = {job.id: job_messages.cut(f"{job.id}: {job.idea}", SHORT) for job in mine}
        found = [(job_id, name) for job_id, name in named.items() if str(typed).casefold() in name.casefold()]
        return [app_commands.Choice(name=name, value=job_id) for job_id, name in found[:25]]

    async def _only(self, interaction: Interaction) -> Job:
        mine = await self.app.jobs.open_jobs(interaction.user.id)
        if not mine:
            raise BadOption(NOTHING)
        if len(mine) > 1:
            raise BadOption("You have more than one request; choose which in the option `request`.")
        return mine[0]

    async def _line(self, job: Job) -> str:
        return f"**{job.id}** · {job_messages.plain(job.idea, SHORT)} · {await self._standing(job)}"

    async def _standing(self, job: Job) -> str:
        if job.status == JobStatus.RUNNING:
            return f"painting, step {job.step} of {job.steps}"
        if job.held_at is not None:
            return "waits for your Keep, Edit or Raw"
        return job_messages.standing(await self.app.jobs.position(job))
