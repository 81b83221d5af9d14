"""The floor's hits for a channel of the operator's, each once: the rows of what was refused, which have no words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text

from limner.bot.filters.floor import FloorSubject
from limner.bot.filters.verdicts import FLOOR
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import ENDED, Job
from limner.bot.storage.tables.moderation_tables import FloorChannel

SUBJECTS = {f"{FLOOR}-{subject}": subject for subject in FloorSubject}
"""The subjects by the refusals' codes."""
MOST = 10
"""Hits that one message lists; of the others it has the number."""
SETTLE_SECONDS = 30.0
"""So much later a hit is listed, when every earlier one is committed too, by whichever process."""
IDLE_SECONDS = 600.0
"""Time without hits after which the row is written, so that reads stay short."""


@dataclass(frozen=True)
class DueHits:
    """Hits that were not posted yet, the earliest first, how many there are, and up to which time (Unix seconds)."""

    jobs: Sequence[Job]
    number: int
    until: float


class FloorHits:
    """What of the floor's hits a channel has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, channel_id: int, now: float) -> DueHits | None:
        """The hits that this channel lacks, from its first use on; None without any."""
        until = now - SETTLE_SECONDS
        async with self._database.begin() as session:
            row = await session.get(FloorChannel, channel_id)
            if row is None:
                session.add(FloorChannel(channel_id=channel_id, posted_until=now))
                return None
            is_new = (Job.finished_at > row.posted_until, Job.finished_at <= until)
            hits = (text(ENDED), *is_new, Job.reason_code.in_(SUBJECTS))
            number = await session.scalar(select(func.count()).select_from(Job).where(*hits)) or 0
            if number == 0:
                row.posted_until = until if until > row.posted_until + IDLE_SECONDS else row.posted_until
                return None
            jobs = await session.scalars(select(Job).where(*hits).order_by(Job.finished_at, Job.id).limit(MOST))
            return DueHits(jobs.all(), number, until)

    async def posted(self, channel_id: int, until: float) -> None:
        """Record that the channel has all hits up to this time."""
        async with self._database.begin() as session:
            (await session.get_one(FloorChannel, channel_id)).posted_until = until
