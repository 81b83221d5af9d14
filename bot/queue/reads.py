"""Questions about jobs: one job, what to show, what to deliver, positions and counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import case, func, select, text

from limner.bot.errors import NotFound
from limner.bot.queue.candidates import read_waiting
from limner.bot.queue.estimate import Position, positions_of
from limner.bot.queue.outbox import LONGEST_HOLD, LONGEST_PAUSE
from limner.bot.queue.rows import JobRows
from limner.bot.reasons import OPEN, JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import HELD, QUARANTINED, QUEUED, RUNNING, UNDELIVERED, Job, PreviewRow
from limner.bot.storage.together import Together

SHOWN_QUARANTINED = 50
"""How many of the newest quarantined jobs are kept up to date in their channels."""


class JobReads(JobRows):
    """Jobs as they are; no method changes a row."""

    def __init__(self, database: Database, lease_seconds: float, server_weights: Mapping[int, float]) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds
        self._server_weights = server_weights
        self._positions = Together(self._tell_positions)

    async def get(self, job_id: int) -> Job:
        """One job with its pictures; raises NotFound."""
        async with self.database.read() as session:
            job = await session.get(Job, job_id)
        if job is None or job.deleted_at is not None:
            raise NotFound
        return job

    async def is_stopped(self, job_id: int) -> bool:
        """Whether a job was cancelled or deleted."""
        async with self.database.read() as session:
            return bool(await session.scalar(select(Job.cancel_requested).where(Job.id == job_id)))

    async def open_jobs(self, user_id: int) -> Sequence[Job]:
        """A user's queued and running jobs, in the order of service."""
        mine = select(Job).where(Job.user_id == user_id, Job.status.in_(OPEN)).order_by(Job.turn, Job.id)
        return await self._read(mine)

    async def to_show(self) -> Sequence[Job]:
        """Jobs whose placeholder may be out of date: running, held and quarantined ones."""
        shown = select(Job).where(Job.channel_id.is_not(None))
        kept = shown.where(text(QUARANTINED), Job.status == JobStatus.SUCCEEDED, Job.delivered_at.is_(None))
        kept = kept.where(Job.deleted_at.is_(None)).order_by(Job.id.desc()).limit(SHOWN_QUARANTINED)
        async with self.database.read() as session:
            running = await session.scalars(shown.where(text(RUNNING)))
            return [*running, *await session.scalars(shown.where(text(HELD))), *await session.scalars(kept)]

    async def next_in_line(self) -> Sequence[Job]:
        """The next waiting jobs (some tens at most) that have a message to update."""
        async with self.database.read() as session:
            waiting, _ = await read_waiting(session, self._server_weights, time.time())
            shown = select(Job).where(
                Job.id.in_([job.id for job in waiting]), text(QUEUED), Job.message_id.is_not(None)
            )
            return (await session.scalars(shown)).all()

    async def undelivered(self, busy_channels: Iterable[int] = ()) -> Sequence[Job]:
        """Final jobs whose answer is not posted and whose next attempt is due; oldest first.

        Jobs of ``busy_channels`` are left out, so that a slow channel does not block the others.
        """
        free = Job.channel_id.not_in(list(busy_channels))
        longest = case((Job.held_back_at.is_(None), LONGEST_PAUSE), else_=LONGEST_HOLD)
        due = select(Job).where(text(UNDELIVERED), shared_sql.is_due(Job.deliver_after, longest), free)
        return await self._read(due.order_by(Job.id).limit(20))

    async def preview(self, job_id: int) -> PreviewRow | None:
        """The latest preview of a running job; None if there is none."""
        async with self.database.read() as session:
            return await session.get(PreviewRow, job_id)

    async def position(self, job: Job) -> Position:
        """How many jobs are served before this one, and seconds until it is done at the measured speed."""
        return await self._positions.ask(job)

    async def counts(self) -> tuple[int, int]:
        """How many jobs are queued and how many are running."""
        count = select(func.count()).select_from(Job)
        async with self.database.read() as session:
            queued = await session.scalar(count.where(text(QUEUED)))
            running = await session.scalar(count.where(text(RUNNING)))
        return queued or 0, running or 0

    async def _tell_positions(self, jobs: Sequence[Job], _patience: float) -> list[Position]:
        async with self.database.read() as session:
            now = await self.database.now()
            return await positions_of(session, jobs, self._server_weights, now, self._lease_seconds)
