"""Metrics: numbers of jobs, workers, filter decisions and appeals for Prometheus; no words, names or members' ids."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from limner.bot.app import App
from limner.bot.provenance.signing import Signing
from limner.bot.queue.metrics import MOST_ROWS, EndedJob, MetricReads
from limner.bot.reasons import PAINTING, JobKind, JobStatus
from limner.bot.storage.tables.worker_tables import WorkerState
from limner.bot.web.expansion_drift import ExpansionDrift
from limner.bot.web.exposition import Histogram, Metric, written

BOUNDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
"""Seconds up to which the histograms count."""
OVERLAP = 60.0
"""Seconds that are read twice: workers' clocks differ, and a row may be committed after a later one."""
MOST_WORKERS = 1000
"""Workers whose last report is remembered; one that lost its lease may come back."""
CERTIFICATE_SECONDS = 60.0
"""Interval at which the certificate is read: checking an RSA key of 4096 bits takes half a second."""
ALLOWED = "allowed"


class _Ended(Protocol):
    @property
    def id(self) -> int: ...

    @property
    def ended_at(self) -> float: ...


T = TypeVar("T", bound=_Ended)


class NewRows(Generic[T]):
    """The rows of what has ended since this was made, each of them once."""

    def __init__(self, read: Callable[[float], Awaitable[Sequence[T]]]) -> None:
        self._read = read
        self._since = time.time()
        self._known: set[tuple[int, float]] = set()

    async def next(self) -> list[T]:
        """Those that have ended since the last call."""
        rows = await self._read(self._since)
        new = [row for row in rows if (row.id, row.ended_at) not in self._known]
        if rows:
            last = rows[-1].ended_at
            if len(rows) < MOST_ROWS:
                last -= OVERLAP
            elif not new:  # more have ended at one moment than one read takes; the others are not counted
                last = math.nextafter(last, math.inf)
            self._since = max(self._since, last)
            self._known |= {(row.id, row.ended_at) for row in new}
            self._known = {(id_, ended_at) for id_, ended_at in self._known if ended_at >= self._since}
        return new


class Metrics:
    """The numbers of one bot process; counters begin with its start, gauges say what is now."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._reads = MetricReads(app.database)
        self._jobs = NewRows(self._reads.ended)
        self._appeals = NewRows(self._reads.decided_appeals)
        self._drift = ExpansionDrift(app.meaning, self._reads)
        self._began = time.time()
        self._certificate_due = time.monotonic()
        self._reported: dict[str, Mapping[str, int]] = {}
        self.ended = Metric("limner_jobs_total", "counter", "Jobs that have ended.", ("status", "reason"))
        self.pictures = Metric("limner_pictures_total", "counter", "Pictures painted for jobs that have succeeded.")
        self.waited = Histogram("limner_job_waiting_seconds", "From a request to the worker that ended it.", BOUNDS)
        self.painted = Histogram("limner_job_painting_seconds", "From a job's admission to its pictures.", BOUNDS)
        self.filtered = Metric(
            "limner_filter_decisions_total", "counter", "Requests by what the filter did.", ("verdict",)
        )
        self.appealed = Metric("limner_appeals_total", "counter", "Appeals that were decided.", ("decision",))
        self.queued = Metric("limner_jobs_queued", "gauge", "Jobs that wait for a worker.")
        self.running = Metric("limner_jobs_running", "gauge", "Jobs that a worker has.")
        self.oldest = Metric("limner_oldest_job_seconds", "gauge", "Age of the oldest job that waits.")
        self.undelivered = Metric("limner_deliveries_waiting", "gauge", "Results that are not posted yet.")
        self.failing = Metric("limner_deliveries_failing", "gauge", "Those of them that Discord has refused before.")
        self.open = Metric("limner_appeals_open", "gauge", "Appeals that wait for moderators.")
        self.workers = Metric("limner_workers", "gauge", "Workers that are alive.")
        self.certificate = Metric(
            "limner_certificate_expiry_seconds",
            "gauge",
            "Unix time until which the certificate can sign pictures; 0 while it cannot, or there is none.",
        )
        self.prompts = Metric("limner_prompts_total", "counter", "Prompts that were encoded or cached.", ("result",))
        self.steps = Metric("limner_picture_steps_total", "counter", "Denoising steps of pictures.", ("result",))

    async def refresh(self) -> str:
        """Read what has changed; returns the whole text for Prometheus."""
        ended = await self._jobs.next()
        for job in ended:
            self._count(job)
        await self._drift.read([job.id for job in ended if job.kind == JobKind.PAINT])
        for appeal in await self._appeals.next():
            self.appealed.add(appeal.state)
        await self._look_at_workers()
        now = await self._reads.waiting()
        self.queued.set(now.queued)
        self.running.set(now.running)
        self.oldest.set(max(0.0, time.time() - now.oldest_at) if now.oldest_at else 0)
        self.undelivered.set(now.undelivered)
        self.failing.set(now.failing)
        self.open.set(now.appeals)
        await self._look_at_certificate()
        own = (one for one in vars(self).values() if isinstance(one, Metric | Histogram))
        return written([*own, *self._drift.metrics])

    def _count(self, job: EndedJob) -> None:
        self.ended.add(job.status, job.reason_code or "")
        refused = job.status == JobStatus.REFUSED
        self.filtered.add(job.reason_code or "" if refused else job.rule_action or ALLOWED)
        if job.started_at is not None:
            self.waited.observe(max(0.0, job.started_at - job.created_at))
        if job.status == JobStatus.SUCCEEDED and job.kind in PAINTING:
            self.pictures.add(by=job.samples)
            self.painted.observe(job.seconds or 0.0)

    async def _look_at_certificate(self) -> None:
        if time.monotonic() >= self._certificate_due:
            self._certificate_due = time.monotonic() + CERTIFICATE_SECONDS
            self.certificate.set(await asyncio.to_thread(_signs_until, self._app.settings.signing))

    async def _look_at_workers(self) -> None:
        """Count the workers, and what each of them has done since its last report that was read."""
        alive = await self._app.worker_registry.alive()
        self.workers.set(len(alive))
        for worker in alive:
            done = self._since_last_report(worker)
            for name in ("encoded", "cached"):
                self.prompts.add(name, by=done.get(f"prompts_{name}", 0))
            for name in ("denoised", "skipped"):
                self.steps.add(name, by=done.get(f"steps_{name}", 0))

    def _since_last_report(self, worker: WorkerState) -> dict[str, int]:
        """What a worker has done since; of one that is older than this process, nothing that it did before."""
        before = self._reported.pop(worker.worker_id, {} if worker.started_at >= self._began else worker.work)
        self._reported[worker.worker_id] = worker.work
        if len(self._reported) > MOST_WORKERS:
            del self._reported[next(iter(self._reported))]
        return {name: number - before.get(name, 0) for name, number in worker.work.items()}


def _signs_until(signing: Signing) -> float:
    """Unix time until which the certificate can sign; 0 if it cannot."""
    from limner.bot.provenance.certificates import CannotSign, load  # takes 0.1 s, which most bots can save

    try:
        return load(signing).expires.timestamp()
    except CannotSign:
        return 0.0
