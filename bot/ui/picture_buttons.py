"""The buttons of one picture: its number under the message, and the actions that it opens in private."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Self

import discord

from limner.bot import picture_actions
from limner.bot.app import App
from limner.bot.picture_actions import Asker
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForViewers
from limner.bot.ui.interactions import tell, where_to_post
from limner.bot.ui.job_buttons import post_placeholder

Interaction = discord.Interaction[Any]
Making = Callable[[App, Job, int, Asker], Awaitable[Job]]

PICTURE = "[1-9]"
"""A picture's number in a custom_id, counted from 1."""
OPENED = N_("Picture {number} of request {job}: what is to become of it?")
MAKING: dict[str, tuple[str, Making]] = {
    "subtle": (N_("Vary subtle"), partial(picture_actions.vary, is_strong=False)),
    "strong": (N_("Vary strong"), partial(picture_actions.vary, is_strong=True)),
    "larger2": (N_("Upscale 2x"), partial(picture_actions.upscale, times=2)),
    "larger4": (N_("Upscale 4x"), partial(picture_actions.upscale, times=4)),
}
"""Verbs that make a new request of a picture, with their labels."""


class PictureButton(
    ForViewers[discord.ui.Button[Any]], template=rf"limner:picture:(?P<job>{NUMBER}):(?P<number>{PICTURE})"
):
    """Opens a picture's actions for the member who presses it; survives restarts."""

    def __init__(self, label: str, job_id: int, number: int) -> None:
        custom_id = f"limner:picture:{job_id}:{number}"
        super().__init__(discord.ui.Button(label=label, style=discord.ButtonStyle.primary, custom_id=custom_id))
        self.job_id = job_id
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", int(match["job"]), int(match["number"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Show the actions."""
        view = discord.ui.View(timeout=None)
        for verb in MAKING:
            view.add_item(MakeButton(verb, job.id, self.number))
        await tell(interaction, _(OPENED, number=self.number, job=job.id), view=view)


class MakeButton(
    ForViewers[discord.ui.Button[Any]],
    template=rf"limner:make:(?P<verb>{'|'.join(MAKING)}):(?P<job>{NUMBER}):(?P<number>{PICTURE})",
):
    """Makes a request of a picture; survives restarts."""

    def __init__(self, verb: str, job_id: int, number: int) -> None:
        custom_id = f"limner:make:{verb}:{job_id}:{number}"
        super().__init__(discord.ui.Button(label=_(MAKING[verb][0]), custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["job"]), int(match["number"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Submit the request for the member who pressed."""
        asker = Asker(interaction.user.id, str(interaction.locale), where_to_post(interaction))
        await post_placeholder(interaction, app, await MAKING[self.verb][1](app, job, self.number, asker))


def picture_items(job: Job) -> list[PictureButton]:
    """A button for each posted picture: its number, or one word if there is one picture only."""
    if job.status != JobStatus.SUCCEEDED or job.quarantine or job.kind == JobKind.DESCRIBE:
        return []
    numbers = [image.position + 1 for image in job.images]
    return [PictureButton(str(number) if len(numbers) > 1 else _("Picture"), job.id, number) for number in numbers]
