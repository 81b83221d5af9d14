"""Favourites: the star under pictures, and the folder and note of a member's own favourite."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.limits import CHOICE, CHOICES, cut
from limner.bot.posted_pictures import check_posted, picture_of
from limner.bot.reasons import ABOUT_PICTURES, JobStatus
from limner.bot.storage.history.favourites import FOLDER_LENGTH, NOTE_LENGTH, Kept
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForAnyone, ForOwner
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import tell
from limner.bot.ui.job import job_messages

Interaction = discord.Interaction[Any]

STAR = "⭐"
WHICH = N_("Which picture is to be among your favourites?")
STARRED = N_("Picture {number} of request {job} is among your favourites.")
UNSTARRED = N_("Picture {number} of request {job} is no favourite of yours any more.")
FOLDER = N_("Folder: {folder}")
NO_FOLDER = "0"
"""The value of a select that stands for no folder; no folder has this id."""


class StarButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:star:(?P<job>{NUMBER}):(?P<number>[0-9])"):
    """Stars a picture for the member who presses it; with the number 0, asks which if there are several."""

    def __init__(self, job_id: int, number: int, label: str = "") -> None:
        custom_id = f"limner:star:{job_id}:{number}"
        super().__init__(discord.ui.Button(label=label or _("Favourite"), emoji=STAR, custom_id=custom_id))
        self.job_id = job_id
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]), int(match["number"]))

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees a posted picture may have it among their own favourites."""
        return True

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Star the picture, or ask which."""
        check_posted(job)
        numbers = [image.position + 1 for image in job.images]
        if self.number or len(numbers) == 1:
            return await _star(interaction, app, job, self.number or numbers[0])
        view = discord.ui.View(timeout=None)
        for number in numbers:
            view.add_item(StarButton(job.id, number, str(number)))
        await tell(interaction, _(WHICH), view=view)


class FavouriteButton(
    ForAnyone[discord.ui.Button[Any]], template=rf"limner:favourite:(?P<verb>keep|unstar):(?P<image>{NUMBER})"
):
    """What a member does with their own favourite; survives restarts."""

    def __init__(self, verb: str, image_id: int) -> None:
        label = _("Folder and note") if verb == "keep" else _("Remove from favourites")
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:favourite:{verb}:{image_id}"))
        self.verb = verb
        self.image_id = image_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["image"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Open the form, or take the star away."""
        if self.verb == "keep":
            return await open_form(interaction, app, "favourite", self.image_id)
        kept = await app.favourites.get(interaction.user.id, self.image_id)
        await app.favourites.unstar(interaction.user.id, self.image_id)
        text = _(UNSTARRED, number=kept.number, job=kept.job_id)
        await interaction.response.edit_message(content=text, view=None)


class FavouriteForm(Form, kind="favourite"):
    """The folder and the note of a member's favourite."""

    def __init__(self, kept: Kept, folders: dict[str, str]) -> None:
        super().__init__(_("Folder and note"))
        self._kept, self._folders = kept, folders
        options = [
            discord.SelectOption(label=cut(name, CHOICE), value=value, default=name == kept.folder)
            for value, name in ({NO_FOLDER: _("No folder")} | folders).items()
        ]
        if not kept.folder:
            options[0].default = True
        self.ask("folder", _("Folder"), discord.ui.Select[Any](options=options))
        name: discord.ui.TextInput[Any] = discord.ui.TextInput(required=False, max_length=FOLDER_LENGTH)
        self.ask("name", _("Or the name of another folder"), name, _("It is made if you have none of that name."))
        note: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, required=False, max_length=NOTE_LENGTH, default=kept.note
        )
        self.ask("note", _("Note"), note, _("Only you see it."))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the member whose favourite it is; the folders are the last used ones, as many as a select holds."""
        kept = await app.favourites.get(interaction.user.id, subject)
        folders = await app.favourites.folders(interaction.user.id)
        shown = [number for number, name in folders.items() if name == kept.folder]
        shown = [*shown, *(number for number in folders if number not in shown)][: CHOICES - 1]
        return cls(kept, {str(number): folders[number] for number in shown})

    async def act(self, interaction: Interaction, app: App) -> None:
        """Put it into the folder whose name was written, otherwise into the chosen one."""
        chosen = self._folders.get(self.chosen("folder")[0], "")
        kept = await app.favourites.keep(
            interaction.user.id, self._kept.image_id, self.text("name").strip() or chosen, self.text("note")
        )
        await tell(interaction, _summary(kept), view=_view(kept))


def star_items(job: Job) -> list[StarButton]:
    """The star under a request's message, if it has pictures that may be shown."""
    is_shown = job.status == JobStatus.SUCCEEDED and not job.quarantine and job.kind not in ABOUT_PICTURES
    return [StarButton(job.id, 0)] if is_shown and job.images else []


async def _star(interaction: Interaction, app: App, job: Job, number: int) -> None:
    image_id = picture_of(job, number).id
    kept = await app.favourites.star(interaction.user.id, image_id)
    settings = await app.guilds.get(job.guild_id)
    stars = (await app.favourites.stars([image_id])).get(image_id, 0)
    if job.guild_id and settings.gallery_channel_id and stars >= settings.gallery_stars:
        await app.gallery_posts.want(image_id, job.guild_id)
    await tell(interaction, _summary(kept), view=_view(kept))


def _summary(kept: Kept) -> str:
    lines = [_(STARRED, number=kept.number, job=kept.job_id)]
    if kept.folder:
        lines.append(_(FOLDER, folder=job_messages.plain(kept.folder, FOLDER_LENGTH)))
    if kept.note:
        lines.append(f"> {job_messages.plain(kept.note, NOTE_LENGTH)}")
    return "\n".join(lines)


def _view(kept: Kept) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for verb in ("keep", "unstar"):
        view.add_item(FavouriteButton(verb, kept.image_id))
    return view
