"""The form Use as reference: other words, with the style or the subject of a posted picture."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import discord

from limner.bot import reference_actions, submit
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.ask import Ask, find_card, read
from limner.bot.options.reference_fields import USUAL_WEIGHTS
from limner.bot.reference_actions import OPTION_OF
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, paragraph
from limner.bot.ui.interactions import viewed
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.linked_references import with_links
from limner.bot.ui.picture.picture_buttons import NUMBERS, asker
from limner.bot.ui.uploads import take_picture
from limner.generators.references import Role

Interaction = discord.Interaction[Any]

LABELS = {Role.STYLE: N_("Its style"), Role.SUBJECT: N_("Its subject")}
NONE = N_("The model {model} has no adapter for references, so it cannot use this picture as one.")


class ReferenceForm(Form, kind="refer"):
    """What is taken from a picture, and the words for the new one."""

    def __init__(self, app: App, job: Job, number: int) -> None:
        super().__init__(_("Use as reference"))
        self._job, self._number = job, number
        card = find_card(app.settings, job.request["model"])
        roles = [role for role in OPTION_OF if role in card.adapters]
        if not roles:
            raise BadOption(_(NONE, model=card.name))
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        self.ask("idea", _("What you want to see"), paragraph(job.idea[:longest], longest))
        choices = [discord.SelectOption(label=_(LABELS[role]), value=role, default=role == roles[0]) for role in roles]
        self.ask("role", _("What is taken from the picture"), discord.ui.Select[Any](options=choices))
        weight = discord.ui.TextInput[Any](default=f"{USUAL_WEIGHTS[roles[0]]:g}", max_length=6)
        self.ask("weight", _("How much it counts, from 0.05 to 1"), weight)
        if card.reference_limits.areas:
            mask = discord.ui.FileUpload[Any](required=False, min_values=0, max_values=1)
            self.ask("mask", _("Where it counts: a mask, white there"), mask)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For those who see the picture."""
        job_id, number = divmod(subject, NUMBERS)
        return cls(app, await viewed(interaction, app, job_id, number), number)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request for the member who filled the form."""
        who, role = asker(interaction), Role(self.chosen("role")[0])
        texts = self.text("idea"), self.text("weight")
        ask = reference_actions.referring(self._job, self._number, who, role, *texts)
        ask = await with_links(interaction, app, await self._with_mask(interaction, app, ask, role))
        job = await reference_actions.refer(app, self._job, self._number, ask)
        await post_placeholder(interaction, app, job)

    async def _with_mask(self, interaction: Interaction, app: App, ask: Ask, role: Role) -> Ask:
        """The same with the mask in the form, which is stored once the rest is accepted."""
        card = find_card(app.settings, self._job.request["model"])
        file = self.file("mask") if card.reference_limits.areas else None
        if file is None:
            return ask
        option = OPTION_OF[role][2]
        found = [read(app, ask.saying(**{option: submit.NOT_YET}))]
        check = partial(submit.check_each, app, ask, found)
        is_private = self._job.is_private or found[0].is_private
        mask = await take_picture(interaction, app, file, check, app.inputs.store_mask, is_private=is_private)
        return ask.saying(**{option: mask})
