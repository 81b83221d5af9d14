"""Edit region: cells of a picture or a mask file, and the words that are painted there."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot import picture_actions
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.ask import find_card
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, paragraph
from limner.bot.ui.interactions import viewed
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.picture_buttons import NUMBERS, asker
from limner.bot.ui.uploads import take_picture
from limner.generators.image_canvas import COLUMNS, ROWS

Interaction = discord.Interaction[Any]

CELLS = [row + column for row in ROWS for column in COLUMNS]
NO_PART = N_("Say which part is to change: choose cells of the grid, or give a mask in black and white.")
ONE_WAY = N_("Say in one way which part is to change: by cells, by words, or by a mask.")
LONGEST_PART = 100
ALL_PARTS = N_("Those are all cells, so nothing would be kept; leave some out, or use Vary strong.")


class RegionForm(Form, kind="region"):
    """Which part of a picture is painted anew, and from which words."""

    def __init__(self, app: App, job: Job, number: int) -> None:
        super().__init__(_("Edit region"))
        self._job, self._number = job, number
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        cells = [discord.SelectOption(label=cell, value=cell) for cell in CELLS]
        self.ask(
            "cells",
            _("Cells that are painted anew"),
            discord.ui.Select[Any](options=cells, min_values=0, max_values=len(cells), required=False),
        )
        self.ask("idea", _("What you want to see there"), paragraph(job.idea[:longest], longest))
        self.ask("rest", _("The rest of the picture"), discord.ui.Select[Any](options=_of_rest()))
        self._takes_words = app.settings.finds_parts(find_card(app.settings, job.request["model"]))
        if self._takes_words:
            named = discord.ui.TextInput[Any](required=False, max_length=LONGEST_PART)
            self.ask("part", _("Or the part in words"), named, _("Such as: the hat"))
        self.ask(
            "mask",
            _("Or a mask: white is painted anew"),
            discord.ui.FileUpload[Any](required=False, min_values=0, max_values=1),
        )

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For those who see the picture."""
        job_id, number = divmod(subject, NUMBERS)
        return cls(app, await viewed(interaction, app, job_id, number), number)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Store the mask, and submit the request for the member who filled the form."""
        cells, file, member = self.chosen("cells"), self.file("mask"), asker(interaction)
        part = self.text("part").strip() if self._takes_words else ""
        if sum(map(bool, (cells, file, part))) > 1:
            raise BadOption(_(ONE_WAY))
        if not file and not part and not 0 < len(cells) < len(CELLS):
            raise BadOption(_(ALL_PARTS) if cells else _(NO_PART))
        await picture_actions.check_edit(app, self._job, member)
        mask: str | None = None
        if file:
            mask = await take_picture(
                interaction,
                app,
                file,
                lambda: picture_actions.check_edit(app, self._job, member),
                app.inputs.store_mask,
                is_private=self._job.is_private,
            )
        elif cells:
            mask = await app.inputs.store_cells(cells)
        keeps_rest = self.chosen("rest") == ["exact"]
        job = await picture_actions.edit(
            app, self._job, self._number, member, self.text("idea"), mask, part=part, keeps_rest=keeps_rest
        )
        await post_placeholder(interaction, app, job)


def _of_rest() -> list[discord.SelectOption]:
    return [
        discord.SelectOption(label=_("Keep it exactly"), value="exact", default=True),
        discord.SelectOption(label=_("Let it change a little, so that all fits together"), value="about"),
    ]
