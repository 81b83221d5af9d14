"""Recent refusals of a member and their limit, and a server's refusals for a blocked picture."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from limner.bot.errors import QueueFull
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import EndCode, HoldReason, JobStatus
from limner.bot.storage.history.history import AskedBefore, History
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _

MOST, MOST_SECONDS = 30, 600.0
"""Most refusals of one member in one server within so many seconds; more would probe the filter's rules."""
MOST_SHOWN = 100
"""The newest refusals for a blocked picture that moderators are shown."""
REMEMBERED = 500
"""Most refusals that one request is compared with; beyond it the member has to wait."""
TOO_MANY = N_("Too many of your requests were refused here within a short time; ask again <t:{end}:R>.")


class Refusals:
    """The filter's refusals of a member, read from the history."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def lately(self, new: NewJob, seconds: float) -> Sequence[AskedBefore]:
        """The member's refusals there in the last so many seconds, newest first.

        Raises:
            QueueFull: there are more than a request can be compared with.
        """
        found = await self._history.refused(new.user_id, new.where.guild_id, seconds, REMEMBERED + 1)
        if len(found) > REMEMBERED:
            raise QueueFull(_(TOO_MANY, end=round(found[REMEMBERED].at + seconds)))
        return found

    async def check(self, new: NewJob) -> None:
        """Raise QueueFull if the member has had too many refusals to store another one."""
        if new.user_id == 0:
            return
        found = await self._history.refused(new.user_id, new.where.guild_id, MOST_SECONDS, MOST)
        if len(found) == MOST:
            raise QueueFull(_(TOO_MANY, end=round(found[-1].at + MOST_SECONDS)))

    async def for_blocked_pictures(self, guild_id: int) -> Sequence[Job]:
        """The newest requests of a server whose pictures, or the given ones, look like a blocked one."""
        code = EndCode.PICTURE.about(HoldReason.BLOCKED)
        here = (Job.guild_id == guild_id, Job.status == JobStatus.REFUSED, Job.reason_code == code)
        found = select(Job).where(*here, Job.deleted_at.is_(None)).order_by(Job.id.desc()).limit(MOST_SHOWN)
        async with self._history.database.read() as session:
            return (await session.scalars(found)).all()
