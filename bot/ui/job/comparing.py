"""Which is better, A or B: two buttons under some results of several pictures; one tap says it."""

from __future__ import annotations

import re
from random import Random
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.reasons import JobKind
from limner.bot.storage.tables.models import Job
from limner.bot.submit import check_posted
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForOwner
from limner.bot.ui.interactions import tell

Interaction = discord.Interaction[Any]

QUESTION = N_("Which is better? Your choice may train models.")
KEPT = N_("You prefer picture {better} of request {job} to picture {worse}; that may train models.")
NOT_KEPT = N_("Nothing is kept, because your ratings train nothing; /ratings training:on changes that.")
TAKEN_BACK = N_("Your choice between pictures of request {job} is deleted.")
NO_PICTURE = N_("One of these pictures is not there any more, so there is nothing to choose between.")
NOTHING = "0"
"""Stands for the better picture where a choice is taken back."""


class PreferButton(
    ForOwner[discord.ui.Button[Any]], template=rf"limner:prefer:(?P<better>[0-4]):(?P<worse>[0-4]):(?P<job>{NUMBER})"
):
    """One of two pictures of a request, by their numbers; survives restarts."""

    def __init__(self, better: str, worse: str, job_id: int) -> None:
        label = _("Take it back") if better == NOTHING else _("Picture {number}", number=better)
        custom_id = f"limner:prefer:{better}:{worse}:{job_id}"
        super().__init__(discord.ui.Button(label=label, custom_id=custom_id))
        self.better = better
        self.worse = worse
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["better"], match["worse"], int(match["job"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Keep the choice, or delete it."""
        if self.better == NOTHING:
            await app.preferences.take_back(job.id)
            await interaction.response.edit_message(content=_(TAKEN_BACK, job=job.id), view=None)
            return
        check_posted(job)
        better, worse = int(self.better), int(self.worse)
        if not {better, worse} <= {image.position + 1 for image in job.images} or better == worse:
            raise BadOption(_(NO_PICTURE))
        if not await app.preferences.prefer(job, better=better, worse=worse):
            raise BadOption(_(NOT_KEPT))
        view = discord.ui.View(timeout=None).add_item(PreferButton(NOTHING, NOTHING, job.id))
        await tell(interaction, _(KEPT, better=better, worse=worse, job=job.id), view=view)


async def is_compared(app: App, job: Job) -> bool:
    """Whether a finished request is one of the share whose member is asked, and may be asked."""
    if job.kind != JobKind.PAINT or job.is_private or job.is_animation or len(job.images) < 2:
        return False
    chosen = (await app.guilds.get(job.guild_id)).compared_share
    share = app.settings.compared_share if chosen is None else chosen
    if 100 * Random(job.id).random() >= share:
        return False
    return (await app.ratings.settings(job.user_id)).is_training


def comparing_items(job: Job) -> list[discord.ui.Item[Any]]:
    """The question, and the buttons of two of the pictures."""
    one, other = sorted(Random(f"{job.id}").sample([str(image.position + 1) for image in job.images], 2))
    row = discord.ui.ActionRow[Any](PreferButton(one, other, job.id), PreferButton(other, one, job.id))
    return [discord.ui.TextDisplay(f"-# {_(QUESTION)}"), row]
