"""Changes of running requests, asked for in the channel and carried out by the worker that paints them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, or_, select, text, update

from limner.bot.queue import transitions
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import HoldReason
from limner.bot.storage.tables.models import RUNNING, Job

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """A change that no worker has carried out yet: another prompt, an early end, or both."""

    job_id: int
    prompt: str | None
    stops: bool


class Steering:
    """The changes in the rows of running jobs; they stay there until a worker has them in the job's request."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    async def ask(self, job_id: int, prompt: str, quarantine: HoldReason | None) -> bool:
        """Ask for another prompt; False if the job is not running any more, or another change waits.

        ``quarantine`` is set as the hold reason if the job has none.
        """
        values = {"steer_to": prompt, "quarantine": func.coalesce(Job.quarantine, quarantine)}
        return await self._ask(job_id, values)

    async def ask_to_stop(self, job_id: int) -> bool:
        """Ask for the picture as it is; False if the job is not running any more, or another change waits."""
        return await self._ask(job_id, {"stop_requested": True})

    async def wanted(self, worker_id: str) -> Sequence[Wanted]:
        """The changes of this worker's jobs."""
        mine = select(Job.id, Job.steer_to, Job.stop_requested).where(text(RUNNING), Job.worker_id == worker_id)
        waiting = mine.where(or_(Job.steer_to.is_not(None), Job.stop_requested), Job.cancel_requested.is_(False))
        async with self._jobs.database.read() as session:
            return [Wanted(*row) for row in await session.execute(waiting)]

    async def keep(self, job: Job) -> bool:
        """Store the job's request with its changes, and ask for none any more; False if it is another worker's."""
        kept = transitions.ours(job).values(
            request=job.request,
            notes=job.notes,
            steer_to=None,
            stop_requested=False,
            rule_ids=job.rule_ids,
            rule_action=job.rule_action,
            is_spoiler=job.is_spoiler,
            quarantine=func.coalesce(Job.quarantine, job.quarantine),
        )
        async with self._jobs.changing() as session:
            return (await session.execute(kept.returning(Job.id))).first() is not None

    async def _ask(self, job_id: int, values: Mapping[str, object]) -> bool:
        painting = update(Job).where(Job.id == job_id, text(RUNNING), Job.cancel_requested.is_(False))
        free = painting.where(Job.steer_to.is_(None), Job.stop_requested.is_(False))
        async with self._jobs.changing(self._jobs.queued) as session:
            asked = (await session.execute(free.values(**values).returning(Job.id))).first() is not None
        if asked:
            log.info("job_change_asked job=%s", job_id)
        return asked
