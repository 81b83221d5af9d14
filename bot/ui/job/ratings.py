"""Two faces under a member's results: one tap says what they think of it."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.storage.tables.models import Job
from limner.bot.submit import check_posted
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForOwner
from limner.bot.ui.interactions import tell

Interaction = discord.Interaction[Any]

FACES = {"good": "🙂", "bad": "🙁", "none": None}
SAID = {"good": N_("You like request {job}."), "bad": N_("You do not like request {job}.")}
IS_TRAINING = N_("Your ratings may train models, with your words and pictures; /ratings changes that.")
IS_OWN = N_("You alone see that; /ratings lets models be trained with it, or hides the faces.")
TAKEN_BACK = N_("Your rating of request {job} is deleted.")


class RateButton(
    ForOwner[discord.ui.Button[Any]], template=rf"limner:rate:(?P<verb>{'|'.join(FACES)}):(?P<job>{NUMBER})"
):
    """What the owner thinks of a result; survives restarts."""

    def __init__(self, verb: str, job_id: int) -> None:
        label = None if FACES[verb] else _("Take it back")
        custom_id = f"limner:rate:{verb}:{job_id}"
        super().__init__(discord.ui.Button(label=label, emoji=FACES[verb], custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["job"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Keep the rating, or delete it."""
        if self.verb == "none":
            await app.ratings.take_back(job.id)
            await interaction.response.edit_message(content=_(TAKEN_BACK, job=job.id), view=None)
            return
        check_posted(job)
        await app.ratings.rate(job, is_good=self.verb == "good")
        is_training = (await app.ratings.settings(job.user_id)).is_training and not job.is_private
        view = discord.ui.View(timeout=None).add_item(RateButton("none", job.id))
        await tell(
            interaction, f"{_(SAID[self.verb], job=job.id)} {_(IS_TRAINING if is_training else IS_OWN)}", view=view
        )


def rating_items(job: Job) -> list[RateButton]:
    """The two faces."""
    return [RateButton("good", job.id), RateButton("bad", job.id)]
