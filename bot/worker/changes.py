"""Takes what members change about running jobs from the rows to the executor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.bot.app import App
from limner.bot.background import patiently
from limner.bot.options.notes import NOT_CHANGED
from limner.bot.queue.steering import Wanted
from limner.bot.storage.tables.models import Job
from limner.bot.worker.executor_thread import NotChanged
from limner.bot.worker.in_flight import InFlightJobs
from limner.bot.worker.prepare import settle_change
from limner.generators.requests import GenerationRequest


class Changes:
    """The changes of one worker's jobs: filtered, written into the jobs' requests, then carried out.

    They are in the row first, with the step that they count from, so a job whose worker is killed is painted again
    with them.
    """

    def __init__(self, app: App, worker_id: str) -> None:
        self._app = app
        self._worker_id = worker_id
        self._coming: dict[str, list[str | None]] = {}

    async def read(self, in_flight: InFlightJobs) -> set[int]:
        """Take new changes of jobs that are prepared; returns the jobs that the filter has ended for their words."""
        if in_flight.is_empty:
            return set()
        painting = {job.id: job for job in in_flight.painting}
        prepared = painting | {job.id: job for job in in_flight.ready}
        ended = set[int]()
        for wanted in await self._app.steering.wanted(self._worker_id):
            job = prepared.get(wanted.job_id)
            if job is None:
                continue
            if wanted.prompt is not None and not await settle_change(self._app, job, wanted.prompt):
                ended.add(job.id)
            elif await self._keep(job, wanted) and job.id in painting:
                self._coming.setdefault(str(job.id), []).extend(_steps(wanted))
        return ended

    def hand_over(self) -> dict[str, list[str | None]]:
        """What the executor has to change before its next step: prompts, and None for an early end."""
        coming, self._coming = self._coming, {}
        return coming

    def undo(self, job: Job, failed: NotChanged) -> None:
        """Take a change back that could not be carried out, with a note for the member."""
        request = GenerationRequest.from_json(job.request)
        before = {"stop_after": None} if failed.prompt is None else {"steering": request.steering[:-1]}
        job.request = replace(request, **before).to_json()
        job.notes = {**job.notes, NOT_CHANGED: str(failed.error)}

    async def _keep(self, job: Job, wanted: Wanted) -> bool:
        request = GenerationRequest.from_json(job.request)
        if wanted.prompt is not None:
            request = replace(request, steering=(*request.steering, (job.step, wanted.prompt)))
        if wanted.stops:
            request = replace(request, stop_after=job.step + 1)
        job.request = request.to_json()
        return await patiently(lambda: self._app.steering.keep(job))


def _steps(wanted: Wanted) -> Sequence[str | None]:
    return [*([] if wanted.prompt is None else [wanted.prompt]), *([None] if wanted.stops else [])]
