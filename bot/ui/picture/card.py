"""The card of a request: what /history, /gallery, Family and links open, and what it leads to."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Self

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForAnyone, ForOwner
from limner.bot.ui.interactions import readable, sees, where_to_post
from limner.bot.ui.job.favourites import star_items
from limner.bot.ui.job.job_buttons import job_of, post_placeholder
from limner.bot.ui.picture.family import FamilyButton
from limner.bot.ui.picture.opened import OPEN, is_repeatable, opening_select, show_request
from limner.bot.ui.picture.picture_buttons import picture_items

Interaction = discord.Interaction[Any]

MOST_SHOWN = 5
"""Most buttons of requests that were made of one."""
NO_REQUEST = N_("That message shows no request of mine; choose one with pictures that I painted.")
BUTTONS = 25
"""Buttons in one message."""
LOOKS = {"open": discord.ButtonStyle.secondary, "repeat": discord.ButtonStyle.primary}


class OpenPicture(ForAnyone[discord.ui.Select[Any]], template=OPEN):
    """Opens a request; a value is its number and its picture's."""

    def __init__(self, options: list[discord.SelectOption]) -> None:
        super().__init__(opening_select(options, _("Open a picture")))

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls([])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Show the chosen picture's request, if it is (still) for the member to see."""
        job = await readable(interaction, app, int(self.item.values[0].split(":")[0]))
        await open_request(interaction, app, job)


class HistoryButton(
    ForOwner[discord.ui.Button[Any]],
    template=rf"limner:history:(?P<verb>{'|'.join(LOOKS)}):(?P<job>{NUMBER}):",
):
    """Opens a request, or paints the member's own again; survives restarts."""

    def __init__(self, label: str, verb: str, job_id: int) -> None:
        custom_id = f"limner:history:{verb}:{job_id}:"
        super().__init__(discord.ui.Button(label=label, style=LOOKS[verb], custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", match["verb"], int(match["job"]))

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees the pictures may open their request."""
        return self.verb == "open"

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the button's verb."""
        if self.verb == "open":
            await open_request(interaction, app, job)
        else:
            again = await submit.repeat(app, job, where=where_to_post(interaction))
            await post_placeholder(interaction, app, again)


async def open_of_message(interaction: Interaction, app: App, message: discord.Message) -> None:
    """Show the request of a message of the bot's, if the member may see it."""
    job_id = job_of(message) if message.author == interaction.client.user else None
    if job_id is None:
        raise BadPicture(_(NO_REQUEST))
    await open_request(interaction, app, await readable(interaction, app, job_id))


async def open_request(interaction: Interaction, app: App, job: Job) -> None:
    """Show a request with the buttons of its pictures, and of those relatives that the member may see."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    may_see = partial(sees, interaction)
    parents = await app.history.lineage.parents(job, may_see)
    children = await app.history.lineage.children(job, may_see, MOST_SHOWN)
    buttons: list[discord.ui.Item[Any]] = [*picture_items(job), *star_items(job)]
    is_own = job.user_id == interaction.user.id
    buttons += [HistoryButton(_("Repeat"), "repeat", job.id)] if is_own and is_repeatable(job) else []
    buttons += [FamilyButton(job.id)] if parents or children else []
    buttons += [HistoryButton(_("Made of {job}", job=one.id), "open", one.id) for one in parents]
    buttons += [HistoryButton(_("Became {job}", job=one.id), "open", one.id) for one in children]
    await show_request(interaction, app, job, buttons[:BUTTONS])
