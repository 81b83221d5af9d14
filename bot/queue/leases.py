"""Leases: a worker keeps its jobs while it renews them; those of a dead or silent worker wait again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

from sqlalchemy import Update, and_, or_, select, text, update

from limner.bot.queue import transitions
from limner.bot.queue.faults import UNRESPONSIVE, WorkerFault
from limner.bot.queue.reads import JobReads
from limner.bot.reasons import JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import RUNNING, Job

log = logging.getLogger(__name__)

LOST_SECONDS = 10.0
"""The pause before a third attempt after a job's worker died twice: a broken machine may recover."""


class JobLeases(JobReads):
    """Jobs with the leases of their workers."""

    def __init__(
        self, database: Database, lease_seconds: float, max_attempts: int, server_weights: Mapping[int, float]
    ) -> None:
        super().__init__(database, lease_seconds, server_weights)
        self._max_attempts = max_attempts
        self._ahead: dict[tuple[int, float | None], float] = {}  # leases that end too late, and when first seen
        self._clock: float | None = None  # the shared clock less this process's monotonic one, at the last look
        self._set_forward_at = -math.inf

    async def heartbeat(self, worker_id: str) -> set[int]:
        """Extend this worker's leases; returns the jobs that are still its own and not cancelled."""
        until = await self.database.now() + self._lease_seconds
        renewed = transitions.running(worker_id).values(lease_until=until)
        async with self.database.begin(survives_power_cut=False) as session:
            rows = (await session.execute(renewed.returning(Job.id, Job.cancel_requested))).all()
        return {job_id for job_id, cancelled in rows if not cancelled}

    async def abandon(self, worker_id: str, fault: WorkerFault) -> None:
        """Put back a dead worker's jobs with one attempt lost; those without attempts left fail."""
        await self._lose(transitions.running(worker_id), fault)

    async def requeue_stalled(self) -> None:
        """Put back the jobs of workers whose leases have expired.

        A lease that ends later than any current one could was given before the clock was set back. It expires too when
        it was not renewed for its length by this process's monotonic clock. While leases from before the clock was set
        forward may still be renewed, none expires.
        """
        now = await self.database.now()
        if self._was_set_forward(now):
            return
        ahead = select(Job.id, Job.lease_until).where(text(RUNNING), Job.lease_until > now + 2 * self._lease_seconds)
        async with self.database.read() as session:
            found = [(row[0], row[1]) for row in await session.execute(ahead)]
        seen = time.monotonic()
        self._ahead = {lease: self._ahead.get(lease, seen) for lease in found}
        unrenewed = [lease for lease, since in self._ahead.items() if seen - since >= self._lease_seconds]
        over = [and_(Job.id == job_id, Job.lease_until == until) for job_id, until in unrenewed]
        await self._lose(update(Job).where(text(RUNNING), or_(Job.lease_until < now, *over)), UNRESPONSIVE)

    def _was_set_forward(self, now: float) -> bool:
        """Whether the clock was set forward less than a lease ago, so that live leases only seem to have expired."""
        seen = time.monotonic()
        before, self._clock = self._clock, now - seen
        if before is not None and self._clock - before > self._lease_seconds / 2:
            self._set_forward_at = seen
        return seen - self._set_forward_at < self._lease_seconds

    async def _lose(self, lost: Update, fault: WorkerFault) -> None:
        last = lost.where(Job.attempts >= self._max_attempts, Job.cancel_requested.is_(False))
        reason = fault.reason(self._max_attempts)
        failed = {"status": JobStatus.FAILED, "reason_code": fault.code, "reason": reason, **transitions.ended()}
        again = {"not_before": await self.database.now() + LOST_SECONDS * (Job.attempts - 1)}
        async with self.database.begin() as session:
            ended = set(await session.scalars(last.values(**failed).returning(Job.id)))
            requeued = set(await session.scalars(lost.values(**again | transitions.unclaimed()).returning(Job.id)))
            if ended or requeued:
                await shared_sql.forget_previews(session, ended | requeued)
                await self._announce(session, self.queued, self.changed)
        for job_id in requeued:
            log.warning("job_requeued job=%s code=%s", job_id, fault.code)
        for job_id in ended:
            log.warning("job_gave_up job=%s code=%s", job_id, fault.code)
