"""Statistics of a server's reviews: decisions, how long they took, and how many appeals were right."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from statistics import median

from sqlalchemy import func, select

from limner.bot.filters.verdicts import FLOOR
from limner.bot.moderation.reviews import APPROVALS
from limner.bot.reasons import ReviewState
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review

MOST = 20_000
"""The newest decisions that are counted."""
DAY = 86_400.0


@dataclass(frozen=True)
class ReviewStats:
    """What was decided within some days; times are in seconds, None where nobody decided anything."""

    approved: int
    rejected: int
    #: Not decided in time.
    expired: int
    #: Appeals that moderators decided, and those that they allowed.
    appeals: int
    overturned: int
    median_time: float | None
    longest_time: float | None
    #: Requests that the floor refused.
    floor: int


async def review_stats(database: Database, guild_id: int, days: float) -> ReviewStats:
    """The statistics of a server's decisions in the last so many days."""
    since = time.time() - days * DAY
    decided = select(Review.state, Review.is_appeal, Review.created_at, Review.decided_at, Review.decided_by)
    decided = decided.where(Review.guild_id == guild_id, Review.decided_at >= since)
    refused = select(func.count()).select_from(Job).where(Job.guild_id == guild_id, Job.created_at >= since)
    async with database.read() as session:
        rows = (await session.execute(decided.order_by(Review.id.desc()).limit(MOST))).all()
        floor = await session.scalar(refused.where(Job.reason_code.startswith(FLOOR)))
    states = Counter(state for state, *_rest in rows)
    appeals = [state for state, is_appeal, _created, _decided, by in rows if is_appeal and by is not None]
    times = sorted(max(0.0, at - created) for _state, _is_appeal, created, at, by in rows if by is not None and at)
    return ReviewStats(
        approved=sum(states[one] for one in APPROVALS),
        rejected=states[ReviewState.REJECTED] + states[ReviewState.STRUCK],
        expired=states[ReviewState.EXPIRED],
        appeals=len(appeals),
        overturned=sum(state in APPROVALS for state in appeals),
        median_time=median(times) if times else None,
        longest_time=times[-1] if times else None,
        floor=floor or 0,
    )
