"""Appeals: a member may ask moderators once to reconsider a refusal by the filter."""

from __future__ import annotations

from limner.bot.errors import Decided, NotYours
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.guild_settings import Guilds
from limner.bot.moderation.reviews import APPEALED, Reviews
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import EndCode, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.translation import N_, _

MOST = 5
"""Most open appeals of one member in one server; more would flood the moderators' channel."""
ENOUGH = N_("{most} appeals of yours wait for a moderator; appeal again when one of them is decided.")
NOBODY = N_("This refusal cannot be appealed against: no moderator of this server can decide about it.")


class Appeals:
    """Appeals of members, each of which becomes a review."""

    def __init__(self, guilds: Guilds, filters: ContentFilter, jobs: JobQueue, reviews: Reviews) -> None:
        self._guilds = guilds
        self._filters = filters
        self._jobs = jobs
        self._reviews = reviews

    async def may_appeal(self, job: Job) -> bool:
        """Whether this refusal can be appealed: moderators would see it, and it was not appealed before."""
        return await self._can_be_reviewed(job) and not await self._reviews.is_appealed(job.id)

    async def appealable(self, job_id: int, user_id: int) -> Job:
        """The refused request of this member; raises NotFound, NotYours or Decided if it cannot be appealed."""
        job = await self._jobs.get(job_id)
        if job.user_id != user_id:
            raise NotYours
        if await self._reviews.is_appealed(job_id):
            raise Decided(_(APPEALED))
        if await self._reviews.open_appeals(job.guild_id or 0, user_id) >= MOST:
            raise Decided(_(ENOUGH, most=MOST))
        if not await self._can_be_reviewed(job):
            raise Decided(_(NOBODY))
        return job

    async def appeal(self, job_id: int, user_id: int, words: str) -> Review:
        """Open an appeal with the member's own words; raises like `appealable`."""
        return await self._reviews.appeal(await self.appealable(job_id, user_id), words)

    async def _can_be_reviewed(self, job: Job) -> bool:
        """A server's moderators decide about its own rules, not about the operator's."""
        is_by_filter = job.status == JobStatus.REFUSED and (job.reason_code or "").startswith(EndCode.FILTER.prefix)
        if job.guild_id is None or not is_by_filter:
            return False
        if (await self._guilds.get(job.guild_id)).review_channel_id is None:
            return False
        return len(await self._filters.of(job.guild_id, job.rule_ids)) == len(job.rule_ids) > 0
