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
WINDOW_SECONDS = 15.0
"""So much time after the first hit belongs to its message, which is therefore the same if it is sent again."""
SETTLE_SECONDS = 30.0
"""So much later a hit is listed, when every earlier one is committed too, by whichever process."""
IDLE_SECONDS = 600.0
"""Time without hits after which the row is written, so that reads stay short."""


@dataclass(frozen=True)
class DueHits:
    """Hits that were not posted yet, the earliest first, how many there are, and of which time (Unix seconds)."""

    jobs: Sequence[Job]
    number: int
    since: float
    until: float


class FloorHits:
    """What of the floor's hits a channel has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, channel_id: int, now: float) -> DueHits | None:
        """The next hits that this channel lacks, from its first use on; None without any.

        They are the same in every process until they count as posted.
        """
        settled = now - SETTLE_SECONDS
        async with self._database.begin() as session:
            row = await session.get(FloorChannel, channel_id)
            if row is None:
                session.add(FloorChannel(channel_id=channel_id, posted_until=now))
                return None
            hits = (text(ENDED), Job.finished_at > row.posted_until, Job.reason_code.in_(SUBJECTS))
            first = await session.scalar(select(func.min(Job.finished_at)).where(*hits))
            if first is None or first + WINDOW_SECONDS > settled:
                is_idle = first is None and settled > row.posted_until + IDLE_SECONDS
                row.posted_until = settled if is_idle else row.posted_until
                return None
            until = first + WINDOW_SECONDS
            these = (*hits, Job.finished_at <= until)
            number = await session.scalar(select(func.count()).select_from(Job).where(*these)) or 0
            jobs = await session.scalars(select(Job).where(*these).order_by(Job.finished_at, Job.id).limit(MOST))
            return DueHits(jobs.all(), number, row.posted_until, until)

    async def posted(self, channel_id: int, until: float) -> None:
        """Record that the channel has all hits up to this time."""
        async with self._database.begin() as session:
            row = await session.get_one(FloorChannel, channel_id)
            row.posted_until = max(row.posted_until, until)
