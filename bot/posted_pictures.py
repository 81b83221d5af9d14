"""Posted pictures of earlier requests: which of them a member may make something of."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.errors import BadOption, BadPicture, NotYours
from limner.bot.place import Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import _
from limner.generators.references import Reference

if TYPE_CHECKING:
    from limner.bot.app import App

NAMED = re.compile(r"(?P<job>[1-9]\d{0,17})-(?P<number>[1-9])")
"""A posted picture by its request and number, such as 12-1."""
LINK = re.compile(
    r"https://(?:\w+\.)?discord(?:app)?\.com/channels/(?P<guild>[0-9]{1,20}|@me)/(?P<channel>[0-9]{1,20})/"
    r"(?P<message>[0-9]{1,20})/?(?:(?:\s+|-)(?P<number>[1-9]))?"
)
"""The link of a message, and perhaps which of its pictures is meant."""


def check_posted(job: Job) -> None:
    """Raise BadOption if the job's pictures are not posted (yet)."""
    if job.status != JobStatus.SUCCEEDED or job.quarantine:
        raise BadOption(_("What came of that request is not posted yet, so nothing can be made of it."))


def picture_of(job: Job, number: int) -> Image:
    """Picture ``number`` of a request, counted from 1; raises BadPicture if it was deleted."""
    found = next((image for image in job.images if image.position == number - 1), None)
    if found is None:
        raise BadPicture(_("That picture was deleted; choose another one."))
    return found


def check_still(job: Job) -> None:
    """Raise BadOption if the job's picture is an animation."""
    if job.is_animation and job.generation.is_video:
        raise BadOption(_("Request {job} is a video; choose a picture instead.", job=job.id))
    if job.is_animation:
        raise BadOption(_("Request {job} is an animation; choose a picture that it goes through instead.", job=job.id))


async def viewed(app: App, job_id: int, number: int, user_id: int, where: Where) -> Job:
    """A request whose posted picture ``number`` a member sees: its owner anywhere, others in its channel.

    Raises:
        NotFound: the request was deleted.
        NotYours: the member sees it nowhere, or the server leaves a picture to its owner.
        BadOption: the pictures are not posted.
        BadPicture: this one was deleted.
    """
    job = await app.jobs.get(job_id)
    if user_id != job.user_id:
        is_shared = is_public_at(job, where) and (await app.guilds.get(job.guild_id or 0)).shares_pictures
        if not is_shared:
            raise NotYours
    check_posted(job)
    picture_of(job, number)
    return job


def is_public_at(job: Job, where: Where) -> bool:
    """Whether a request is for all who see this channel of a server."""
    is_here = (job.guild_id, job.channel_id) == (where.guild_id, where.channel_id)
    return job.guild_id is not None and is_here and not job.is_private


async def with_stored_pictures(app: App, new: NewJob) -> NewJob:
    """The request with the stored pictures that its references name by request and number.

    Raises:
        UserError: as `viewed`.
        BadOption: one is the link of a message.
        BadPicture: a mask is of one colour.
    """
    references: list[Reference] = []
    for reference in new.request.references:
        new, picture = await _stored_picture(app, new, reference.picture)
        new, mask = await _stored_picture(app, new, reference.mask)
        if mask:
            await app.inputs.check_mask(mask)
        references.append(replace(reference, picture=picture, mask=mask))
    return replace(new, request=replace(new.request, references=tuple(references))) if references else new


async def _stored_picture(app: App, new: NewJob, named: str) -> tuple[NewJob, str]:
    """The hash of a picture that is named so, or its hash already; with the request, which is as secret as it."""
    if LINK.fullmatch(named):
        raise BadOption(
            _("The links of messages are read in Discord only; name a picture of mine as 12-1, or ask there.")
        )
    found = NAMED.fullmatch(named)
    if found is None:
        return new, named
    number = int(found["number"])
    job = await viewed(app, int(found["job"]), number, new.user_id, new.where)
    check_still(job)
    kept = {name: getattr(new, name) or getattr(job, name) for name in ("is_spoiler", "is_private")}
    return replace(new, **kept), picture_of(job, number).sha256
