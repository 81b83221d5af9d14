"""Change and Stop here, under a picture that is being painted."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot import steering
from limner.bot.app import App
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.flags import without_flags
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import owned, tell
from limner.bot.ui.job import job_messages

Interaction = discord.Interaction[Any]

FLAG_IN_CHANGE = N_("{flag} is a flag, and only words can be changed while it is painted; leave it out.")
IS_CHANGED = N_("{which} goes on with your words at its next step.")
IS_STOPPED = N_("{which} is finished with its next step, as far as it is painted then.")


class ChangePrompt(Form, kind="change"):
    """The prompt of a picture that is being painted, for its owner to change."""

    def __init__(self, app: App, job: Job) -> None:
        super().__init__(_("Change while it is painted"))
        self._job = job
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        now = job.generation.latest_prompt[:longest]
        field = discord.ui.TextInput[Any](
            style=discord.TextStyle.paragraph, default=now, min_length=1, max_length=longest
        )
        self.ask("text", _("What the remaining steps paint"), field)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the owner of a running request."""
        job = await owned(interaction, app, subject)
        steering.check_steers(app, job)
        return cls(app, job)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Go on with the owner's words if the filter allows them."""
        text = without_flags(self.text("text"), _(FLAG_IN_CHANGE))
        await steering.steer(app, self._job, text)
        await tell(interaction, _(IS_CHANGED, which=job_messages.named(self._job)))


async def change(interaction: Interaction, app: App, job: Job) -> None:
    """Show the form with the present prompt."""
    await open_form(interaction, app, "change", job.id)


async def stop_here(interaction: Interaction, app: App, job: Job) -> None:
    """Finish the picture as it is."""
    await steering.stop_here(app, job)
    await tell(interaction, _(IS_STOPPED, which=job_messages.named(job)))
