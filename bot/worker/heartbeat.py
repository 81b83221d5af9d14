"""A worker's heartbeat: extends its leases, and finds the jobs that are not its own any more."""

from __future__ import annotations

from limner.bot.app import App
from limner.bot.worker.failures import STUMBLED
from limner.bot.worker.in_flight import InFlightJobs


class Heartbeat:
    """Compares the jobs in flight with this worker's rows."""

    def __init__(self, app: App, worker_id: str, in_flight: InFlightJobs) -> None:
        self._app = app
        self._worker_id = worker_id
        self._in_flight = in_flight
        self._lost: set[int] = set()
        self._orphans: set[int] = set()  # this worker's by their rows, but not in flight

    async def beat(self) -> None:
        """Extend the leases; find the jobs lost to others, and those of this worker by their rows only."""
        in_flight = self._in_flight.jobs
        ours = await self._app.jobs.heartbeat(self._worker_id)
        still_in_flight = self._in_flight.jobs
        self._lost |= {job_id for job_id, job in in_flight.items() if still_in_flight.get(job_id) is job} - ours
        orphans = {job_id for job_id in ours if job_id not in self._in_flight}
        for job_id in orphans & self._orphans:  # twice in a row: it is not part of a running claim
            await self._app.jobs.retry(await self._app.jobs.get(job_id), "crashed", STUMBLED)
        self._orphans = orphans
        await self._app.jobs.requeue_stalled()

    def take_lost(self) -> set[int]:
        """The jobs in flight that were lost since the last call."""
        lost, self._lost = self._lost, set()
        return lost
