"""The jobs that a worker has claimed, by state: in preparation, ready, painting, ending."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from limner.bot.storage.tables.models import Job

Task = asyncio.Task[Any]


class InFlightJobs:
    """The jobs that a worker has claimed, by state; plain bookkeeping."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}  # all but those that are ending
        self._preparing: dict[int, Task] = {}
        self._ready: dict[int, Job] = {}
        self._leaving: set[str] = set()
        self._ending: dict[int, Task] = {}

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._jobs or job_id in self._ending

    @property
    def is_empty(self) -> bool:
        """Whether no job is in any state."""
        return not self._jobs and not self._ending

    @property
    def jobs(self) -> dict[int, Job]:
        """The jobs that can still be lost or cancelled."""
        return dict(self._jobs)

    @property
    def painting(self) -> list[Job]:
        """The jobs that the executor has."""
        return [job for job in self._jobs.values() if job.id not in self._preparing and job.id not in self._ready]

    @property
    def ready(self) -> list[Job]:
        """The jobs that are prepared and wait for the executor."""
        return list(self._ready.values())

    @property
    def has_work(self) -> bool:
        """Whether the executor has something to do."""
        return bool(self._ready or self._leaving or len(self._jobs) > len(self._preparing))

    @property
    def weights_key(self) -> str | None:
        """The weights key that all jobs in flight share; None if there are none."""
        return next((job.weights_key for job in self._jobs.values()), None)

    @property
    def waiting_pixels(self) -> int:
        """Pixels of the jobs that the executor does not have yet."""
        return sum(self._jobs[job_id].pixels for job_id in (*self._preparing, *self._ready))

    @property
    def pixels_of_users(self) -> dict[int, int]:
        """Pixels in flight of each user."""
        pixels: Counter[int] = Counter()
        for job in self._jobs.values():
            pixels[job.user_id] += job.pixels
        return dict(pixels)

    @property
    def preparing(self) -> list[Task]:
        """The tasks that prepare jobs."""
        return list(self._preparing.values())

    @property
    def ending(self) -> list[Task]:
        """The tasks that write results into the rows."""
        return list(self._ending.values())

    def take(self, job: Job, preparing: Task) -> None:
        """Add a claimed job with the task that prepares it."""
        self._jobs[job.id] = job
        self._preparing[job.id] = preparing

    def settle(self, job: Job, preparing: Task, *, paint: bool) -> None:
        """The job is prepared: it is ready or, with ``paint`` False, done."""
        if self._preparing.get(job.id) is not preparing:
            return  # dropped
        del self._preparing[job.id]
        if paint:
            self._ready[job.id] = job
        else:
            del self._jobs[job.id]

    def drop(self, job_id: int) -> bool:
        """Forget a job that is not this worker's any more, in any state; False if it is not in flight."""
        if self._jobs.pop(job_id, None) is None:
            return False
        if preparing := self._preparing.pop(job_id, None):
            preparing.cancel()
        elif self._ready.pop(job_id, None) is None:
            self._leaving.add(str(job_id))
        return True

    def hand_over(self, together: int) -> tuple[set[str], list[Job]]:
        """The keys that leave the executor and the jobs that enter it with its next step.

        Beyond ``together`` pixels, only jobs of users without a job in the executor enter, so that a user's second job
        never slows down another user's first.
        """
        leaving, self._leaving = self._leaving, set()
        painting = self.painting
        pixels, users = sum(job.pixels for job in painting), {job.user_id for job in painting}
        coming: list[Job] = []
        for job in list(self._ready.values()):
            if pixels + job.pixels <= together or job.user_id not in users:
                coming.append(self._ready.pop(job.id))
                pixels += job.pixels
                users.add(job.user_id)
        return leaving, coming

    def again(self, job: Job) -> None:
        """A job has left the executor and enters it once more."""
        self._ready[job.id] = job

    def take_back(self) -> list[Job]:
        """The executor has failed: mark all its jobs to leave it."""
        painting = self.painting
        self._leaving.update(str(job.id) for job in painting)
        return painting

    def let_go(self, job: Job, ending: Task) -> None:
        """A job has left the executor, and its result is being written."""
        del self._jobs[job.id]
        self._ending[job.id] = ending

    def ended(self, job: Job, ending: Task) -> None:
        """A job's result is written."""
        if self._ending.get(job.id) is ending:
            del self._ending[job.id]
