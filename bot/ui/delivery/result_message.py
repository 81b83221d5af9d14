"""The message of finished pictures: a gallery, the words, who asked, and rows of buttons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import discord

from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job.comparing import comparing_items
from limner.bot.ui.job.favourites import star_items
from limner.bot.ui.job.job_buttons import items
from limner.bot.ui.job.ratings import rating_items
from limner.bot.ui.job.restyle import restyle_items
from limner.bot.ui.picture.picture_buttons import picture_items

Item = discord.ui.Item[Any]

IN_A_ROW = 5


def result_message(
    settings: Settings,
    job: Job,
    text: str,
    files: Sequence[discord.File],
    *,
    is_rated: bool = False,
    is_compared: bool = False,
) -> discord.ui.LayoutView:
    """A job's text as Components V2, under a gallery of its files if there are any.

    ``is_rated`` adds two faces, ``is_compared`` the question which of two pictures is better.

    An animation's video is a file to take along, as the gallery shows the same.
    """
    box: discord.ui.Container[Any] = discord.ui.Container()
    videos = [file for file in files if file.filename.endswith(".mp4")]
    if shown := [file for file in files if file not in videos]:
        box.add_item(discord.ui.MediaGallery(*map(discord.MediaGalleryItem, shown)))
    box.add_item(discord.ui.TextDisplay(text))
    for video in videos:
        box.add_item(discord.ui.File(video, spoiler=video.spoiler))
    for row in _rows(settings, job):
        box.add_item(discord.ui.ActionRow(*row))
    if is_rated:
        box.add_item(discord.ui.ActionRow[Any](*rating_items(job)))
    for item in comparing_items(job) if is_compared else ():
        box.add_item(item)
    return discord.ui.LayoutView(timeout=None).add_item(box)


def _rows(settings: Settings, job: Job) -> Iterator[Sequence[Item]]:
    """A row of the pictures' numbers if there are several, with the star; what makes something of it; the rest."""
    pictures, star = picture_items(job), star_items(job)
    *making, details, delete = items(job)
    first: list[Item] = [*(pictures if len(pictures) == 1 else ()), *making]
    last: list[Item] = [details, *restyle_items(job, settings.offered), delete]
    if len(pictures) > 1:
        yield [*pictures, *star]
    else:
        last[-1:-1] = star
    yield from [[*first, *last]] if len(first) + len(last) <= IN_A_ROW else [first, last]
