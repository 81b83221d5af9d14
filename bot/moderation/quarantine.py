"""Quarantine: finished pictures that await the classifier or a moderator's decision."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from sqlalchemy import Update, case, select, text, update

from limner.bot.queue import transitions
from limner.bot.queue.endings import LOOK_SECONDS
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import HoldReason, ImageVerdict, JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.tables.models import UNLOOKED, Image, Job, Seen
from limner.bot.translation import english

log = logging.getLogger(__name__)

LONGEST_PAUSE = 600.0
"""Longest pause in seconds between two classification attempts; pauses double up to it."""


class Quarantine:
    """Holds finished jobs back from posting, and releases them. Every method is one short transaction."""

    def __init__(self, jobs: JobQueue) -> None:
        self.database = jobs.database
        self._jobs = jobs

    async def take(self) -> Job | None:
        """A finished job that is due for the classifier; other workers do not get it for a while."""
        now = time.time()
        due = select(Job).where(text(UNLOOKED), shared_sql.is_due(Job.look_after, LONGEST_PAUSE))
        async with self.database.begin() as session:
            job = await session.scalar(due.order_by(Job.look_after).limit(1))
            if job is None:
                return None
            pause = min(LOOK_SECONDS * 2**job.looks, LONGEST_PAUSE)
            mine = update(Job).where(Job.id == job.id, text(UNLOOKED), Job.looks == job.looks)
            taken = await session.execute(mine.values(looks=job.looks + 1, look_after=now + pause).returning(Job.id))
            return job if taken.first() else None

    async def looked(self, job_id: int, seen: Mapping[int, Seen]) -> None:
        """Store the classifier's results of a job's pictures by image id, and lift the hold for them."""
        free = case((Job.quarantine == HoldReason.UNSEEN, None), else_=Job.quarantine)
        async with self._jobs.changing() as session:
            for image_id, look in seen.items():
                await session.execute(update(Image).where(Image.id == image_id).values(**vars(look)))
            await session.execute(update(Job).where(Job.id == job_id).values(look_after=None, quarantine=free))
        log.info("job_looked_at job=%s", job_id)

    async def ask_for_a_look(self, job_id: int) -> bool:
        """Make an unclassified job due for the classifier now."""
        waiting = update(Job).where(Job.id == job_id, Job.status == JobStatus.SUCCEEDED, Job.look_after.is_(None))
        return await self._change(waiting.values(**transitions.unseen()))

    async def hold(self, job_id: int, code: HoldReason, verdicts: Mapping[int, ImageVerdict]) -> bool:
        """Hold a finished job's pictures for a moderator; False if the job has changed meanwhile."""
        painted = update(Job).where(Job.id == job_id, Job.status == JobStatus.SUCCEEDED, Job.quarantine.is_(None))
        return await self._change(painted.values(quarantine=code), verdicts)

    async def refuse(
        self,
        job_id: int,
        code: str,
        reason: str,
        verdicts: Mapping[int, ImageVerdict],
        blocked_by: Mapping[str, int] | None = None,
    ) -> bool:
        """Refuse a finished job's pictures for good, with a sentence for the owner; False if the job has changed.

        ``blocked_by`` is what `ImagePolicy.blocked_by` says.
        """
        painted = update(Job).where(Job.id == job_id, Job.status == JobStatus.SUCCEEDED)
        ended = {"status": JobStatus.REFUSED, "quarantine": None, "look_after": None, "blocked_by": blocked_by}
        return await self._change(painted.values(**ended, reason_code=code, reason=english(reason)), verdicts)

    async def approve(self, job_id: int) -> bool:
        """A moderator allows a job's pictures in the channel of the request; False if it is not held any more."""
        held = update(Job).where(Job.id == job_id, Job.quarantine.is_not(None))
        async with self.database.read() as session:
            images = await session.scalars(select(Image.id).where(Image.job_id == job_id))
            approved = dict.fromkeys(images, ImageVerdict.APPROVED)
        return await self._change(held.values(quarantine=None, look_after=None), approved)

    async def _change(self, statement: Update, verdicts: Mapping[int, ImageVerdict] | None = None) -> bool:
        async with self._jobs.changing() as session:
            changed = (await session.execute(statement.returning(Job.id, Job.status, Job.quarantine))).first()
            if changed is None:
                return False
            for image_id, verdict in (verdicts or {}).items():
                await session.execute(update(Image).where(Image.id == image_id).values(verdict=verdict))
        log.info("quarantine_changed job=%s status=%s code=%s", *changed)
        return True
