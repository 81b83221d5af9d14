"""What moderators read about the blocked picture that is nearest to a picture."""

from __future__ import annotations

from collections.abc import Iterable

from limner.bot.app import App
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.moderation.blocked_images import LONGEST_REMARK
from limner.bot.storage.pictures.hash_table import Nearest
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _
from limner.bot.ui.job.job_messages import plain

MOST_SHARE = 3 / 16
"""Share of the bits in which the nearest picture differs at most: with 50,000 blocked pictures, one random pHash in
a hundred comes so near to one of them, and no random PDQ hash."""
HERE = N_("Picture {number} of this server's list ({name}): {bits} of {of} bits differ, so it counts as the same.")
HERE_APART = N_("Picture {number} of this server's list ({name}), but not the same: {bits} of {of} bits differ.")
OPERATORS = N_("Picture {number} of this bot's operator: {bits} of {of} bits differ, so it counts as the same.")
ALLOWED_SINCE = N_("Picture {number}, which is not blocked any more: {bits} of {of} bits differed.")
OPERATORS_APART = N_("Picture {number} of this bot's operator, but not the same: {bits} of {of} bits differ.")
LABELLED = N_("**Nearest blocked picture:** {nearest}")
SENTENCES = {(False, True): HERE, (False, False): HERE_APART, (True, True): OPERATORS, (True, False): OPERATORS_APART}
"""By whether it is the operator's, and whether it counts as the same."""


def blocked_name(row: BlockedPicture) -> str:
    """What a blocked picture is known as: its request, or its list's or file's words."""
    if row.job_id:
        return _("request {job}", job=row.job_id)
    return plain(row.remark, LONGEST_REMARK) or _("a picture file")


def hashes_of(job: Job) -> list[PictureHashes]:
    """The hashes of all of a request's pictures."""
    return [hashes for image in job.images for hashes in image.hashes]


async def nearest_blocked(app: App, guild_id: int | None, pictures: Iterable[PictureHashes]) -> str:
    """The nearest blocked picture of a server or the operator in a sentence; empty if none is near."""
    nearest = await app.image_policy.nearest_blocked(guild_id, pictures)
    if nearest is None or not (nearest.is_alike or nearest.bits <= MOST_SHARE * nearest.of):
        return ""
    row = await app.blocked.get(nearest.number)
    return _sentence(row, nearest) if row else ""


async def blocked_by(app: App, job: Job) -> str:
    """For which blocked picture a request was refused, in a sentence; empty if that is not known."""
    if not job.blocked_by:
        return ""
    nearest = Nearest(**job.blocked_by, is_alike=True)
    row = await app.blocked.get(nearest.number)
    return _sentence(row, nearest) if row else _(ALLOWED_SINCE, **job.blocked_by)


async def nearest_line(app: App, guild_id: int | None, pictures: Iterable[PictureHashes]) -> str:
    """The same as a line of its own, with a label."""
    nearest = await nearest_blocked(app, guild_id, pictures)
    return _(LABELLED, nearest=nearest) if nearest else ""


def _sentence(row: BlockedPicture, nearest: Nearest) -> str:
    sentence = SENTENCES[row.guild_id == EVERYWHERE, nearest.is_alike]
    return _(sentence, number=row.id, name=blocked_name(row), bits=nearest.bits, of=nearest.of)
