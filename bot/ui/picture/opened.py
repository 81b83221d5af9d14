"""One request of /history: its details, its pictures or why they are hidden, and what can be done with it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import discord

from limner.bot.app import App
from limner.bot.reasons import ABOUT_PICTURES, HoldReason
from limner.bot.storage.pictures.budget import MESSAGE_BYTES
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import is_guest, moderates, spot, tell
from limner.bot.ui.job.job_details import details
from limner.bot.ui.nearest_blocked import hashes_of, nearest_line

Interaction = discord.Interaction[Any]
Item = discord.ui.Item[Any]

OPEN = "limner:gallery:open"
"""The id of every select that opens a request; a value is its number and its picture's, such as 12:1."""
MISSING = N_(
    "Not every picture is here: its file is gone from the disk, or too large to post here even as a small JPEG."
)
UNDECIDED = N_("These pictures wait until a moderator has looked at them.")
HIDDEN = {
    HoldReason.UNSEEN: N_("Nobody has looked at these pictures yet; they are shown here as soon as that is done."),
    HoldReason.EXPLICIT: N_("These pictures are too explicit for this channel."),
    HoldReason.BLOCKED: N_("One of these pictures looks like one that is blocked here."),
}
POSTED = N_("[Posted here]({link})")


def opening_select(options: list[discord.SelectOption], placeholder: str) -> discord.ui.Select[Any]:
    """A select that opens a request (`card.OpenPicture`)."""
    return discord.ui.Select(custom_id=OPEN, placeholder=placeholder, options=options)


async def show_request(interaction: Interaction, app: App, job: Job, buttons: Sequence[Item]) -> None:
    """Show a request to the interaction's member alone, with these buttons."""
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    text, files = await hidden(app, interaction, job) if job.images else None, list[discord.File]()
    if text is None:
        largest = min(interaction.filesize_limit, MESSAGE_BYTES // max(1, len(job.images)))
        files = await _pictures(app, job, largest)
        text = _(MISSING) if len(files) < len(job.images) else ""
    elif await moderates(interaction, app):
        text = f"{text}\n{await nearest_line(app, interaction.guild_id, hashes_of(job))}".rstrip()
    link = link_to(job)
    text = "\n".join(filter(None, (text, link and _(POSTED, link=link))))
    embed = details(job, app.styles, for_owner=interaction.user.id == job.user_id)
    await tell(interaction, text, embeds=[embed], files=files, view=view)


def link_to(job: Job) -> str:
    """The address of the message with a request's pictures; empty if it has none that others could open too."""
    if not job.message_id or not job.channel_id or job.is_private:
        return ""
    return f"https://discord.com/channels/{job.guild_id or '@me'}/{job.channel_id}/{job.message_id}"


async def hidden(app: App, interaction: Interaction, job: Job) -> str | None:
    """Why a request's pictures are hidden where the interaction is; None if they are not."""
    channel = None if is_guest(interaction) else interaction.channel
    here = spot(interaction.guild_id, interaction.channel_id, channel)
    objection = await app.image_policy.objection(job, here)
    if objection is None:
        return None
    if objection.code == HoldReason.UNSEEN:
        await app.quarantine.ask_for_a_look(job.id)
    return _(HIDDEN.get(objection.code, UNDECIDED))


def is_repeatable(job: Job) -> bool:
    """Whether a request paints by itself: a description, and what was made of a member's file, are not repeated."""
    return job.kind not in ABOUT_PICTURES and not job.is_of_file


async def _pictures(app: App, job: Job, largest: int) -> list[discord.File]:
    """The pictures of a request within ``largest`` bytes, in the best quality that fits."""
    fitted = await app.decoder.fit([image.sha256 for image in job.images], largest)
    return [
        discord.File(
            io.BytesIO(found[1]),
            f"limner-{job.id}-{number}.{found[0]}",
            spoiler=job.is_spoiler,
            description=describe(job, says_ai=app.settings.says_ai),
        )
        for number, found in enumerate(fitted, 1)
        if found
    ]
