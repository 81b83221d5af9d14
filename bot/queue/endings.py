"""How jobs leave a worker: with pictures, with a reason, or back to the queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import case, insert, literal, select, update

from limner.bot.errors import NotFound
from limner.bot.queue import transitions
from limner.bot.queue.candidates import LONGEST_PAUSE, next_turn
from limner.bot.queue.leases import JobLeases
from limner.bot.reasons import OPEN, Action, EndCode, JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.history.gallery import mark_upscaled
from limner.bot.storage.tables.models import Image, Job, Seen
from limner.bot.translation import english

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""The pause before a second attempt, which doubles with each one: exponential backoff."""
LOOK_SECONDS = 2.0
"""The pause before unclassified pictures are classified again."""


@dataclass(frozen=True)
class StoredPicture:
    """A stored picture of a finished job."""

    sha256: str
    width: int
    height: int
    size: int
    seed: int
    #: The classifier's result; None if it could not run.
    seen: Seen | None = None
    nearness: float | None = None
    #: The number in its invisible mark.
    mark: int | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As a row of `models.Image`."""
        own = {name: value for name, value in vars(self).items() if name != "seen"}
        return own | (vars(self.seen) if self.seen else dict.fromkeys(field.name for field in fields(Seen)))


class JobEndings(JobLeases):
    """Jobs and their ends: success, failure, refusal, cancellation, and another attempt."""

    async def finish(
        self,
        job: Job,
        pictures: Sequence[StoredPicture],
        *,
        seconds: float,
        busy_seconds: float,
        paintings: int = 1,
    ) -> bool:
        """Commit the pictures and the success together; False if the job is not this worker's or was cancelled.

        Unclassified pictures are in quarantine from the start. ``paintings`` is how often it was painted.
        """
        # Fewer than were asked for after an early end; the pace is measured with them.
        steps = job.generation.steps * paintings
        values = {"status": JobStatus.SUCCEEDED, "seconds": seconds, "busy_seconds": busy_seconds}
        values |= {"step": steps, "steps": steps, "notes": job.notes, "request": job.request}
        values |= transitions.steered(job) | transitions.spared(job, paintings)
        if not all(picture.seen for picture in pictures):
            values |= transitions.unseen(LOOK_SECONDS)
        finished = (
            transitions.ours(job)
            .where(Job.cancel_requested.is_(False))
            .values(**values, made_with=job.made_with, **transitions.ended())
            .returning(Job.id)
        )
        rows = [{"job_id": job.id, "position": i, **picture.columns} for i, picture in enumerate(pictures)]
        async with self.database.begin() as session:
            if (await session.execute(finished)).first() is None:
                return False
            await session.execute(insert(Image), rows)
            if job.action == Action.UPSCALE and job.parent_id:
                await mark_upscaled(session, job.parent_id)
            await shared_sql.forget_previews(session, [job.id])
            await self._announce(session, self.changed)
        log.info("job_succeeded job=%s seconds=%.2f", job.id, seconds)
        return True

    async def keep_features(self, job: Job, features: Sequence[bytes], model: str) -> None:
        """Write the embeddings of a finished job's pictures, in their order, with the image-text model's name."""
        async with self.database.begin() as session:
            for position, embedding in enumerate(features):
                picture = update(Image).where(Image.job_id == job.id, Image.position == position)
                await session.execute(picture.values(features=embedding, features_by=model))

    async def fail(self, job: Job, code: str, reason: str) -> bool:
        """End a running job with a sentence for its owner; False if it is not this worker's any more."""
        return await self._end(job, JobStatus.FAILED, code, reason)

    async def refuse(
        self,
        job: Job,
        code: str,
        reason: str,
        *,
        keeps_words: bool = True,
        blocked_by: Mapping[str, int] | None = None,
    ) -> bool:
        """End a running job because the filter forbids its texts or pictures.

        False if it is not this worker's any more. ``blocked_by`` is what `ImagePolicy.blocked_by` says.
        """
        words = {} if keeps_words else transitions.without_words(job)
        return await self._end(job, JobStatus.REFUSED, code, reason, **words, blocked_by=blocked_by)

    async def reopen(self, job_id: int, pardoned_ids: Sequence[int]) -> None:
        """Queue a refused job again for its owner's next turn, exempt from these rules; repeating it has no effect."""
        async with self.database.begin() as session:
            whose = (await session.execute(select(Job.user_id, Job.server_id).where(Job.id == job_id))).one()
            turn = next_turn(*(literal(one, Job.user_id.type) for one in whose))
            refused = update(Job).where(
                Job.id == job_id,
                Job.status == JobStatus.REFUSED,
                Job.pardoned_ids.is_(None),
                Job.deleted_at.is_(None),
            )
            again = refused.values(**transitions.reopened(), turn=turn, pardoned_ids=list(pardoned_ids))
            if (await session.execute(again.returning(Job.id))).first():
                log.info("job_reopened job=%s", job_id)
                await self._announce(session, self.queued, self.changed)

    async def release(self, job: Job) -> bool:
        """Put a running job back as if it had not been claimed: the failure was not the job's fault."""
        waiting = transitions.unclaimed() | {"attempts": Job.attempts - 1}
        return await self._changed(transitions.ours(job).values(**waiting), self.queued, self.changed)

    async def postpone(self, job: Job, seconds: float) -> bool:
        """Put a running job back for so many seconds, in which others are served; the attempt does not count."""
        later = {"attempts": Job.attempts - 1, "not_before": await self.database.now() + seconds}
        waiting = transitions.ours(job).values(**transitions.unclaimed() | later)
        return await self._changed(waiting, self.changed)

    async def put_back_changed(self, job: Job) -> bool:
        """Put a running job back with its texts as they are now; the attempt does not count."""
        changed = {"request": job.request, "notes": job.notes, "attempts": Job.attempts - 1}
        waiting = transitions.ours(job).values(**transitions.unclaimed() | changed)
        return await self._changed(waiting, self.queued, self.changed)

    async def put_back(self, worker_id: str) -> None:
        """Put back all jobs of a worker that stops in good order; their attempts do not count."""
        values = transitions.unclaimed() | {"attempts": Job.attempts - 1}
        await self._update(transitions.running(worker_id).values(**values), self.queued, self.changed)

    async def retry(self, job: Job, code: str, reason: str) -> bool:
        """Put a running job back for another attempt after a pause; a failed last attempt ends it."""
        if job.attempts >= self._max_attempts:
            return await self.fail(job, code, reason)
        pause = RETRY_SECONDS * 2 ** (job.attempts - 1)
        again = transitions.unclaimed() | {"not_before": await self.database.now() + min(pause, LONGEST_PAUSE)}
        log.warning("job_retried job=%s attempt=%s code=%s", job.id, job.attempts, code)
        return await self._changed(transitions.ours(job).values(**again), self.changed)

    async def cancel(self, job_id: int, reason: str) -> JobStatus:
        """Cancel a job: a queued one at once, a running one at its next step. Returns its status after the call."""
        waits = Job.status == JobStatus.QUEUED  # decided inside the statement: a worker may claim it at this moment
        stopped = (
            update(Job)
            .where(Job.id == job_id, Job.status.in_(OPEN))
            .values(
                status=case((waits, JobStatus.CANCELLED), else_=Job.status),
                finished_at=case((waits, time.time()), else_=None),
                cancel_requested=True,
                held_at=None,
                reason_code=EndCode.CANCELLED,
                reason=english(reason),
            )
        )
        async with self.database.begin() as session:
            await session.execute(stopped)
            status = await session.scalar(select(Job.status).where(Job.id == job_id))
            if status is None:
                raise NotFound
            await self._announce(session, self.queued, self.changed)
        log.info("job_cancelled job=%s status=%s", job_id, status)
        return JobStatus(status)

    async def end_cancelled(self, worker_id: str) -> set[int]:
        """End this worker's jobs that were cancelled; returns their ids."""
        stopped = transitions.running(worker_id).where(Job.cancel_requested)
        return await self._update(stopped.values(**transitions.cancelled()), self.changed)

    async def _end(self, job: Job, status: JobStatus, code: str, reason: str, **changed: Any) -> bool:
        values = {
            "status": status,
            "reason_code": code,
            "reason": english(reason),
            "rule_ids": job.rule_ids,
            **changed,
            **transitions.ended(),
        }
        ended = await self._changed(transitions.ours(job).values(**values), self.changed)
        if ended:
            log.warning("job_%s job=%s code=%s", status, job.id, code)
        return ended
