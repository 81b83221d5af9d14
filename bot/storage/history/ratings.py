"""Ratings: what members think of their own results, and what of it may train models."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import delete, or_, select, text

from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.rating_tables import Rating, RatingSettings

_RATE = text("""
INSERT INTO ratings (job_id, user_id, is_good, rated_at) VALUES (:job, :user, :good, :now)
ON CONFLICT (job_id) DO UPDATE SET is_good = excluded.is_good, rated_at = excluded.rated_at
""")
_CHOOSE = text("""
INSERT INTO rating_settings (user_id, is_shown, is_training) VALUES (:user, :shown, :training)
ON CONFLICT (user_id) DO UPDATE SET is_shown = excluded.is_shown, is_training = excluded.is_training
""")


class Ratings:
    """The ratings of members, and their choices about them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def rate(self, job: Job, *, is_good: bool) -> None:
        """Keep its owner's rating of a request; the last one counts."""
        still = select(Job.id).where(Job.id == job.id, Job.deleted_at.is_(None)).with_for_update()
        async with self.database.begin() as session:
            if await session.scalar(still):
                values = {"job": job.id, "user": job.user_id, "good": is_good, "now": time.time()}
                await session.execute(_RATE, values)

    async def take_back(self, job_id: int) -> None:
        """Delete the rating of a request."""
        async with self.database.begin() as session:
            await session.execute(delete(Rating).where(Rating.job_id == job_id))

    async def settings(self, user_id: int) -> RatingSettings:
        """What a member has chosen."""
        async with self.database.read() as session:
            found = await session.get(RatingSettings, user_id)
        return found or RatingSettings(user_id=user_id)

    async def choose(self, user_id: int, *, is_shown: bool, is_training: bool) -> None:
        """Change it."""
        values = {"user": user_id, "shown": is_shown, "training": is_training}
        async with self.database.begin() as session:
            await session.execute(_CHOOSE, values)

    async def for_training(self, of: int | None = None) -> Sequence[tuple[Job, bool]]:
        """Rated requests and whether they are good, of members who let models be trained with them now.

        With ``of`` only those of the member, or in the server, with this id. Private requests, and those that wait for
        a moderator, are never among them.
        """
        found = select(Job, Rating.is_good).join(Rating, Rating.job_id == Job.id)
        found = found.join(RatingSettings, RatingSettings.user_id == Rating.user_id)
        which = (RatingSettings.is_training, Job.status == JobStatus.SUCCEEDED, Job.deleted_at.is_(None))
        found = found.where(*which, Job.quarantine.is_(None), Job.is_private.is_(False)).order_by(Job.id)
        if of is not None:
            found = found.where(or_(Job.user_id == of, Job.guild_id == of))
        async with self.database.read() as session:
            return [(job, is_good) for job, is_good in await session.execute(found)]
