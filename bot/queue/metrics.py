"""Reads for metrics: what is waiting now, and what has ended since a time, without members' ids and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import lazyload

from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import ENDED, QUEUED, RUNNING, UNDELIVERED, Job
from limner.bot.storage.tables.moderation_tables import DECIDED, OPEN_REVIEW, Review

MOST_ROWS = 2000
"""Most rows of one read; the next one goes on from the last of them."""


class EndedJob(NamedTuple):
    """A job that has ended: times in Unix seconds, ``seconds`` from its admission to its pictures."""

    id: int
    ended_at: float
    created_at: float
    started_at: float | None
    seconds: float | None
    samples: int
    kind: str
    status: str
    reason_code: str | None
    rule_action: str | None


class DecidedAppeal(NamedTuple):
    """An appeal that moderators have decided."""

    id: int
    ended_at: float
    state: str


class WaitingNumbers(NamedTuple):
    """What is waiting: numbers of jobs and appeals, and the creation of the oldest queued job."""

    queued: int
    running: int
    oldest_at: float | None
    undelivered: int
    failing: int
    appeals: int


class MetricReads:
    """Reads for metrics."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> WaitingNumbers:
        """What is waiting now; each number costs one walk along a partial index that holds nothing else."""
        jobs = select(func.count()).select_from(Job)
        first = select(func.min(Job.id)).where(text(QUEUED)).scalar_subquery()
        appeals = select(func.count()).select_from(Review).where(text(OPEN_REVIEW), Review.is_appeal)
        async with self._database.read() as session:
            return WaitingNumbers(
                queued=await session.scalar(jobs.where(text(QUEUED))) or 0,
                running=await session.scalar(jobs.where(text(RUNNING))) or 0,
                oldest_at=await session.scalar(select(Job.created_at).where(Job.id == first)),
                undelivered=await session.scalar(jobs.where(text(UNDELIVERED))) or 0,
                failing=await session.scalar(jobs.where(text(UNDELIVERED), Job.delivery_attempts > 0)) or 0,
                appeals=await session.scalar(appeals) or 0,
            )

    async def ended(self, since: float) -> Sequence[EndedJob]:
        """Jobs that have ended at this time or later, the earliest first; at most `MOST_ROWS`."""
        times = (Job.finished_at, Job.created_at, Job.started_at, Job.seconds)
        found = select(Job.id, *times, Job.samples, Job.kind, Job.status, Job.reason_code, Job.rule_action).where(
            text(ENDED), Job.finished_at >= since
        )
        async with self._database.read() as session:
            rows = await session.execute(found.order_by(Job.finished_at, Job.id).limit(MOST_ROWS))
            return [EndedJob(*row) for row in rows]

    async def expansions(self, ids: Sequence[int]) -> Sequence[Job]:
        """Those of these jobs that have an expansion and whose words are not deleted."""
        found = select(Job).where(Job.id.in_(ids), Job.expansion.is_not(None), Job.deleted_at.is_(None))
        async with self._database.read() as session:
            return (await session.scalars(found.options(lazyload(Job.images)))).all()

    async def decided_appeals(self, since: float) -> Sequence[DecidedAppeal]:
        """Appeals that were decided at this time or later, the earliest first; at most `MOST_ROWS`."""
        found = select(Review.id, Review.decided_at, Review.state).where(
            text(DECIDED), Review.decided_at >= since, Review.is_appeal
        )
        async with self._database.read() as session:
            rows = await session.execute(found.order_by(Review.decided_at, Review.id).limit(MOST_ROWS))
            return [DecidedAppeal(*row) for row in rows]
