"""The Appeal button under a refusal, and the form for the member's reasons."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.after_refusal import appeal_button
from limner.bot.ui.controls import NUMBER, ForOwner
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import tell

Interaction = discord.Interaction[Any]

WORDS_LENGTH = 500
"""Most characters of an appeal."""
ASKED = N_("Your appeal is with the moderators; /me shows what they decide.")


class AppealButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:appeal:(?P<job>{NUMBER})"):
    """The button under a refusal, with the number of the refused request."""

    def __init__(self, job_id: int) -> None:
        super().__init__(appeal_button(job_id))
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Open the form if this refusal can still be appealed."""
        await open_form(interaction, app, "appeal", job.id)


class AppealWords(Form, kind="appeal"):
    """The member's reasons for an appeal; may be empty."""

    def __init__(self, job: Job) -> None:
        super().__init__(_("Appeal against a refusal"))
        self._job_id = job.id
        words = discord.ui.TextInput[Any](style=discord.TextStyle.paragraph, required=False, max_length=WORDS_LENGTH)
        self.ask("words", _("What moderators should know (optional)"), words)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the owner of the refused request."""
        return cls(await app.appeals.appealable(subject, interaction.user.id))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Open the appeal."""
        await app.appeals.appeal(self._job_id, interaction.user.id, self.text("words"))
        await tell(interaction, _(ASKED))
