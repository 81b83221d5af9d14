"""Reports: members point moderators to posted pictures; the first report of a request opens a review."""

from __future__ import annotations

import logging
import time

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from limner.bot.errors import Decided, NotAllowed
from limner.bot.guild_settings import Guilds
from limner.bot.moderation.reviews import Reviews
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import MemberReport
from limner.bot.translation import N_, _

log = logging.getLogger(__name__)

MOST = 5
"""Most reports of one member in one server in a day; more would flood the moderators' channel."""
DAY = 86_400.0
OWN = N_("That is your own; Delete under it takes it away.")
NOBODY = N_("This server has no channel for its moderators' reviews, so nobody would read it; tell a moderator.")
ENOUGH = N_("You have reported {most} requests here in 24 hours; tell a moderator about more.")
BEFORE = N_("You have reported that request already.")
SEEN = N_("A moderator has looked at that request already, or is about to.")


class MemberReports:
    """Reports as rows, one for each member and request."""

    def __init__(self, database: Database, guilds: Guilds, reviews: Reviews) -> None:
        self.database = database
        self._guilds = guilds
        self._reviews = reviews

    async def check(self, job: Job, user_id: int) -> None:
        """Raise UserError if a member cannot report a request that they see."""
        if job.user_id == user_id:
            raise NotAllowed(_(OWN))
        if job.guild_id is None or (await self._guilds.get(job.guild_id)).review_channel_id is None:
            raise NotAllowed(_(NOBODY))
        lately = (
            MemberReport.guild_id == job.guild_id,
            MemberReport.user_id == user_id,
            MemberReport.created_at > time.time() - DAY,
        )
        same = (MemberReport.job_id == job.id, MemberReport.user_id == user_id)
        async with self.database.read() as session:
            if await session.scalar(select(MemberReport.id).where(*same)):
                raise Decided(_(BEFORE))
            if (await session.scalar(select(func.count()).select_from(MemberReport).where(*lately)) or 0) >= MOST:
                raise Decided(_(ENOUGH, most=MOST))

    async def report(self, job: Job, user_id: int, words: str) -> None:
        """Store a report, and open a review if the request has none; raises like `check`.

        Raises:
            Decided: the request was or is being looked at; the report is stored all the same.
        """
        await self.check(job, user_id)
        row = MemberReport(
            guild_id=job.guild_id or 0, user_id=user_id, job_id=job.id, words=words, created_at=time.time()
        )
        try:
            async with self.database.begin() as session:
                session.add(row)
        except IntegrityError as error:
            raise Decided(_(BEFORE)) from error
        log.info("request_reported report=%s job=%s", row.id, job.id)
        if not await self._reviews.open_reported(job, words):
            raise Decided(_(SEEN))
