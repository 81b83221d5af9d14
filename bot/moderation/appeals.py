"""Appeals: a member may ask moderators once to reconsider a refusal by the filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limner.bot.errors import Decided, NotYours
from limner.bot.moderation.reviews import APPEALED
from limner.bot.reasons import EndCode
from limner.bot.storage.models import Job, JobStatus, Review

if TYPE_CHECKING:
    from limner.bot.app import App

MOST = 5
"""Most open appeals of one member in one server; more would flood the moderators' channel."""
ENOUGH = f"{MOST} appeals of yours wait for a moderator; appeal again when one of them is decided."
NOBODY = "This refusal cannot be appealed against: no moderator of this server can decide about it."


async def may_appeal(app: App, job: Job) -> bool:
    """Whether this refusal can be appealed: moderators would see it, and it was not appealed before."""
    return await _can_be_reviewed(app, job) and not await app.reviews.is_appealed(job.id)


async def appealable(app: App, job_id: int, user_id: int) -> Job:
    """The refused request of this member; raises NotFound, NotYours or Decided if it cannot be appealed (any more)."""
    job = await app.jobs.get(job_id)
    if job.user_id != user_id:
        raise NotYours
    if await app.reviews.is_appealed(job_id):
        raise Decided(APPEALED)
    if await app.reviews.open_appeals(job.guild_id or 0, user_id) >= MOST:
        raise Decided(ENOUGH)
    if not await _can_be_reviewed(app, job):
        raise Decided(NOBODY)
    return job


async def appeal(app: App, job_id: int, user_id: int, words: str) -> Review:
    """Open an appeal with the member's own words; raises like `appealable`."""
    return await app.reviews.appeal(await appealable(app, job_id, user_id), words)


async def _can_be_reviewed(app: App, job: Job) -> bool:
    """A server's moderators decide about its own rules, not about the operator's."""
    is_by_filter = job.status == JobStatus.REFUSED and (job.reason_code or "").startswith(EndCode.FILTER.prefix)
    if job.guild_id is None or not is_by_filter:
        return False
    if (await app.guilds.get(job.guild_id)).review_channel_id is None:
        return False
    return len(await app.filters.of(job.guild_id, job.rule_ids)) == len(job.rule_ids) > 0
