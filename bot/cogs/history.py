"""/history: a member's own pictures by page, with search, details and repeat; only the member sees the answer."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import discord
from discord import app_commands

from limner.bot import submit
from limner.bot.app import App
from limner.bot.reasons import HoldReason, JobKind
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.meaning import merged
from limner.bot.storage.pictures.budget import MESSAGE_BYTES
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.controls import NUMBER, ForAnyone, ForOwner
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import SILENT, is_guest, owned, spot, tell, where_to_post
from limner.bot.ui.job import job_messages
from limner.bot.ui.job.job_buttons import details, post_placeholder

Interaction = discord.Interaction[Any]

PAGE = 4
"""Requests on one page; each is an embed with a small picture."""
MOST_FOUND, MOST_ALIKE = 200, 40
"""Most requests that a search finds by their words and by their meaning."""
SEARCH_LENGTH = 60
"""Characters of a search; a button's custom_id carries them within its 100."""
IDEA_LENGTH = 200
THUMBNAIL = 256

NOTHING_YET = N_("You have no pictures yet; /imagine paints your first one.")
NOTHING_FOUND = N_("None of your pictures has these words or is about that; try fewer or other words.")
MISSING = N_(
    "Not every picture is here: its file is gone from the disk, or too large to post here even as a small JPEG."
)
FILE_GONE = N_("Somebody removed this picture's file from the bot's disk; Repeat paints it again.")
UNDECIDED = N_("These pictures wait until a moderator has looked at them.")
BEHIND_A_CLICK = N_("A rule hides these pictures behind a click; Open shows them so.")
HIDDEN = {
    HoldReason.UNSEEN: N_("Nobody has looked at these pictures yet; they are shown here as soon as that is done."),
    HoldReason.EXPLICIT: N_("These pictures are too explicit for this channel."),
    HoldReason.BLOCKED: N_("One of these pictures looks like one that is blocked here."),
}
LOOKS = {"open": discord.ButtonStyle.secondary, "repeat": discord.ButtonStyle.primary}


class HistoryCog(LimnerCog, name="Limner history"):
    """What one has made."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.rename(request="id")
    @app_commands.describe(
        search='What they show, in any language, or words of theirs; "put a phrase in quotes"',
        request="The number of one request, to open it",
    )
    async def history(
        self,
        interaction: Interaction,
        search: app_commands.Range[str, 1, SEARCH_LENGTH] = "",
        request: app_commands.Range[int, 1] | None = None,
    ) -> None:
        """Browse, search and repeat the pictures that you have made."""
        if request is None:
            answer = await _page(self.app, interaction, 1, search)
        else:
            answer = await _opened(self.app, interaction, await owned(interaction, self.app, request))
        await tell(interaction, answer.text, embeds=answer.embeds, files=answer.files, view=answer.view)


class PageButton(
    ForAnyone[discord.ui.Button[Any]], template=r"limner:history:page:(?P<number>[0-9]{1,9}):(?P<search>(?s:.*))"
):
    """Turns a page of the member's pictures (of a search)."""

    def __init__(self, label: str, number: int, search: str) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:history:page:{number}:{search}"))
        self.number = number
        self.search = search

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", int(match["number"]), match["search"])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Replace the shown page."""
        page = await _page(app, interaction, self.number, self.search)
        await interaction.response.edit_message(
            content=page.text, embeds=page.embeds, attachments=page.files, view=page.view, allowed_mentions=SILENT
        )


class HistoryButton(
    ForOwner[discord.ui.Button[Any]],
    template=rf"limner:history:(?P<verb>{'|'.join(LOOKS)}):(?P<job>{NUMBER}):",
):
    """Opens a request or paints it again; survives restarts."""

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

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the button's verb."""
        if self.verb == "open":
            opened = await _opened(app, interaction, job)
            await tell(interaction, opened.text, embeds=opened.embeds, files=opened.files, view=opened.view)
        else:
            again = await submit.repeat(app, job, where=where_to_post(interaction))
            await post_placeholder(interaction, app, again)


@dataclass(frozen=True)
class _Answer:
    text: str
    embeds: list[discord.Embed]
    files: list[discord.File]
    view: discord.ui.View


async def _page(app: App, interaction: Interaction, number: int, search: str) -> _Answer:
    """One page; the last one if there are fewer."""
    user_id, found = interaction.user.id, list[int]()
    if search:
        found = merged(
            await app.history.found(user_id, search, MOST_FOUND),
            await app.meaning.nearest(SearchScope(user_id=user_id), search, MOST_ALIKE),
        )
    last = max(1, math.ceil((len(found) if search else await app.history.count(user_id)) / PAGE))
    number = min(max(number, 1), last)
    if search:
        jobs = await app.history.some(found[(number - 1) * PAGE : number * PAGE])
    else:
        jobs = await app.history.page(user_id, number=number, limit=PAGE)
    if not jobs:
        return _Answer(_(NOTHING_FOUND) if search else _(NOTHING_YET), [], [], discord.ui.View())
    hidden = {job.id: reason for job in jobs if (reason := await _unlisted(app, interaction, job))}
    small = await _thumbnails(app, [job for job in jobs if job.id not in hidden])
    place = {"page": number, "pages": last}
    heading = _("Your pictures · page {page} of {pages}", **place)
    if search:
        words = job_messages.plain(search, SEARCH_LENGTH)
        heading = _("Your pictures with **{words}** · page {page} of {pages}", words=words, **place)
    buttons: list[HistoryButton | PageButton] = [
        HistoryButton(_("Open {job}", job=job.id), "open", job.id) for job in jobs
    ]
    if number > 1:
        buttons.append(PageButton(_("Previous"), number - 1, search))
    if number < last:
        buttons.append(PageButton(_("Next"), number + 1, search))
    embeds = [_entry(job, small.get(job.id), hidden.get(job.id, _(FILE_GONE))) for job in jobs]
    return _Answer(heading, embeds, list(small.values()), _view(buttons))


async def _opened(app: App, interaction: Interaction, job: Job) -> _Answer:
    """One request with its details, its pictures, and a button that paints it again."""
    is_painted = job.kind != JobKind.DESCRIBE and not job.is_of_file
    view = _view([HistoryButton(_("Repeat"), "repeat", job.id)] if is_painted else [])
    if job.images and (reason := await _hidden(app, interaction, job)):
        return _Answer(reason, [details(job, app.styles)], [], view)
    largest = min(interaction.filesize_limit, MESSAGE_BYTES // max(1, len(job.images)))
    files = await _pictures(app, job, largest)
    missing = _(MISSING) if len(files) < len(job.images) else ""
    return _Answer(missing, [details(job, app.styles)], files, view)


async def _hidden(app: App, interaction: Interaction, job: Job) -> str | None:
    """Why a request's pictures are hidden where the interaction is; None if they are not."""
    channel = None if is_guest(interaction) else interaction.channel
    here = spot(interaction.guild_id, interaction.channel_id, channel)
    objection = await app.image_policy.objection(job, here)
    if objection is None:
        return None
    if objection.code == HoldReason.UNSEEN:
        await app.quarantine.ask_for_a_look(job.id)
    return _(HIDDEN.get(objection.code, UNDECIDED))


async def _unlisted(app: App, interaction: Interaction, job: Job) -> str | None:
    """Why a request is listed without its picture, if so; an embed cannot hide a picture as a spoiler."""
    return await _hidden(app, interaction, job) or (_(BEHIND_A_CLICK) if job.is_spoiler else None)


def _entry(job: Job, thumbnail: discord.File | None, missing: str) -> discord.Embed:
    """A request in a list: its words, its time, and its number of pictures, or why they are hidden."""
    pictures = ngettext("1 picture", "{number} pictures", len(job.images))
    when = discord.utils.format_dt(datetime.fromtimestamp(job.created_at, UTC), "R")
    embed = make_embed(
        description=f"{job_messages.plain(job.idea or job.input_name, IDEA_LENGTH)}\n{job.id} · {pictures} · {when}"
    )
    if thumbnail:
        embed.set_thumbnail(url=thumbnail.uri)
    else:
        embed.set_footer(text=missing)
    return embed


async def _thumbnails(app: App, jobs: Sequence[Job]) -> dict[int, discord.File]:
    """A small copy of each request's first picture by request id, where its file exists."""
    painted = [job for job in jobs if job.images]
    files = [app.images.path(job.images[0].sha256) for job in painted]
    copies = await app.decoder.copies(files, THUMBNAIL, "WEBP")
    return {
        job.id: discord.File(io.BytesIO(data), f"limner-{job.id}.webp", description=describe(job))
        for job, data in zip(painted, copies, strict=True)
        if data
    }


async def _pictures(app: App, job: Job, largest: int) -> list[discord.File]:
    """The pictures of a request within ``largest`` bytes, in the best quality that fits."""
    fitted = await app.decoder.fit([app.images.path(image.sha256) for image in job.images], largest)
    return [
        discord.File(
            io.BytesIO(found[1]),
            f"limner-{job.id}-{number}.{found[0]}",
            spoiler=job.is_spoiler,
            description=describe(job),
        )
        for number, found in enumerate(fitted, 1)
        if found
    ]


def _view(buttons: Sequence[HistoryButton | PageButton]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view
