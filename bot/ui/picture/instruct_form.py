"""Edit by words: what is to change in a picture, and by which model."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot import picture_actions
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, paragraph
from limner.bot.ui.interactions import viewed
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.picture_buttons import NUMBERS, asker

Interaction = discord.Interaction[Any]

MOST_MODELS = 25
"""Options of a select."""
NO_MODEL = N_("No model here edits pictures by words any more.")


class InstructForm(Form, kind="instruct"):
    """What is to change in a picture."""

    def __init__(self, app: App, job: Job, number: int) -> None:
        super().__init__(_("Edit by words"))
        self._job, self._number = job, number
        self._able = picture_actions.editing_cards(app.settings, job.request["model"])[:MOST_MODELS]
        if not self._able:
            raise BadOption(_(NO_MODEL))
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        self.ask("idea", _("What is to change"), paragraph("", longest), _("Such as: make it night"))
        if len(self._able) > 1:
            options = [
                discord.SelectOption(label=card.title or card.name, value=card.name, default=not place)
                for place, card in enumerate(self._able)
            ]
            self.ask("model", _("Model"), discord.ui.Select[Any](options=options))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For those who see the picture."""
        job_id, number = divmod(subject, NUMBERS)
        return cls(app, await viewed(interaction, app, job_id, number), number)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request for the member who filled the form."""
        model = self.chosen("model")[0] if len(self._able) > 1 else self._able[0].name
        text = self.text("idea")
        job = await picture_actions.instruct(app, self._job, self._number, asker(interaction), text, model)
        await post_placeholder(interaction, app, job)
