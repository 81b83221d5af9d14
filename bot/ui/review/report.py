"""The form with which members report a posted request to the moderators."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import readable, tell

Interaction = discord.Interaction[Any]

WORDS_LENGTH = 500
"""Most characters of a report."""
REPORTED = N_("The moderators have your report. They do not read who it is from.")


class ReportForm(Form, kind="report"):
    """What moderators should know about a posted request; may be empty."""

    def __init__(self, job: Job) -> None:
        super().__init__(_("Report to the moderators"))
        self._job = job
        words = discord.ui.TextInput[Any](style=discord.TextStyle.paragraph, required=False, max_length=WORDS_LENGTH)
        self.ask("words", _("What moderators should know (optional)"), words)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For all who see the request's pictures in this channel, and may report it."""
        job = await readable(interaction, app, subject)
        await app.reports.check(job, interaction.user.id)
        return cls(job)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Store the report."""
        await app.reports.report(self._job, interaction.user.id, self.text("words"))
        await tell(interaction, _(REPORTED))
