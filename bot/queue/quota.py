"""What a member had lately in a server, and the limits of it that hold at the moment of an insert."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import QuotaUsed
from limner.bot.reasons import PAINTING, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _

COUNTED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED)
TOO_MUCH = N_("That alone is more than this server allows you; ask for fewer pictures.")


@dataclass(frozen=True)
class Limit:
    """At most so many pictures, or seconds of a device, within so many seconds; the sentence for who had them."""

    most: int
    seconds: float
    is_of_pictures: bool
    sentence: str


@dataclass(frozen=True)
class Over:
    """A limit that a request would be over."""

    limit: Limit
    used: float
    #: When the oldest of what is used was asked for (Unix seconds); None: nothing is used.
    oldest: float | None

    def error(self) -> QuotaUsed:
        """The error, in the language of the task that asks."""
        if self.oldest is None:
            return QuotaUsed(_(TOO_MUCH))
        free = round(self.oldest + self.limit.seconds)
        return QuotaUsed(_(self.limit.sentence, used=round(self.used), most=self.limit.most, free=free))


async def over_limit(
    session: AsyncSession, user_id: int, guild_id: int, pictures: int, limits: Sequence[Limit]
) -> Over | None:
    """The first limit that so many more pictures are over; None if they are within all."""
    for limit in limits:
        used, oldest = await _used(session, user_id, guild_id, limit)
        if used + (pictures if limit.is_of_pictures else 1) > limit.most:
            return Over(limit, used, oldest)
    return None


async def _used(session: AsyncSession, user_id: int, guild_id: int, limit: Limit) -> tuple[float, float | None]:
    """What a member had lately, and when the oldest of it was asked for; deleted requests count too."""
    since = time.time() - limit.seconds
    # Ids rise with time, and the index of a member's requests has ids and no times.
    last_before = select(Job.id).where(Job.created_at <= since).order_by(Job.created_at.desc()).limit(1)
    mine = (Job.user_id == user_id, Job.id > func.coalesce(last_before.scalar_subquery(), 0))
    lately = (Job.guild_id == guild_id, Job.created_at > since, Job.status.in_(COUNTED))
    pictures = case((Job.kind.in_(PAINTING), Job.samples), else_=0)
    amount = func.coalesce(func.sum(pictures if limit.is_of_pictures else Job.busy_seconds), 0)
    row = (await session.execute(select(amount, func.min(Job.created_at)).where(*mine, *lately))).one()
    return float(row[0]), row[1]
