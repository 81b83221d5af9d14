"""Preferences: which of two pictures of one request its member likes better."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import delete, or_, select, text

from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.rating_tables import Preference, RatingSettings

_PREFER = text("""
INSERT INTO preferences (job_id, user_id, better, worse, chosen_at) VALUES (:job, :user, :better, :worse, :now)
ON CONFLICT (job_id) DO UPDATE SET better = excluded.better, worse = excluded.worse, chosen_at = excluded.chosen_at
""")


class Preferences:
    """The preferences of members who let models be trained (`bot.storage.history.ratings`)."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def prefer(self, job: Job, *, better: int, worse: int) -> bool:
        """Keep which picture of a request its owner likes better, by their numbers; the last choice counts.

        False if its owner does not let models be trained, so that nothing is kept.
        """
        still = select(Job.id).where(Job.id == job.id, Job.deleted_at.is_(None)).with_for_update()
        allows = select(RatingSettings.is_training).where(RatingSettings.user_id == job.user_id)
        values = {"job": job.id, "user": job.user_id, "better": better, "worse": worse, "now": time.time()}
        async with self.database.begin() as session:
            if not (await session.scalar(still) and await session.scalar(allows)):
                return False
            await session.execute(_PREFER, values)
        return True

    async def take_back(self, job_id: int) -> None:
        """Delete the preference of a request."""
        async with self.database.begin() as session:
            await session.execute(delete(Preference).where(Preference.job_id == job_id))

    async def for_training(self, of: int | None = None) -> Sequence[tuple[Job, Preference]]:
        """The preferences of members who let models be trained now, with their requests.

        With ``of`` only those of the member, or in the server, with this id. Private requests, and those that wait for
        a moderator, are never among them.
        """
        found = select(Job, Preference).join(Preference, Preference.job_id == Job.id)
        found = found.join(RatingSettings, RatingSettings.user_id == Preference.user_id)
        which = (RatingSettings.is_training, Job.status == JobStatus.SUCCEEDED, Job.deleted_at.is_(None))
        found = found.where(*which, Job.quarantine.is_(None), Job.is_private.is_(False)).order_by(Job.id)
        if of is not None:
            found = found.where(or_(Job.user_id == of, Job.guild_id == of))
        async with self.database.read() as session:
            return [(job, preference) for job, preference in await session.execute(found)]
