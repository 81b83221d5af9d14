"""How long it takes: a job's place in the queue, and seconds until it is done at the pace that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

from sqlalchemy import ColumnElement, and_, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.queue.candidates import read_waiting
from limner.bot.queue.fairness import PICTURE, Account
from limner.bot.storage.models import PAINTED, QUEUED, RUNNING, Job, JobKind, JobStatus, Share, WorkerState

PACE_SAMPLE = 64
"""How many finished jobs of the same weights tell the pace."""
LINE_SAMPLE = 1000
"""How many jobs before one are looked at; those behind them are taken to be alike."""


@dataclass(frozen=True)
class Position:
    """A queued job's place: how many are served before it, and seconds until it is done (None: not measured yet)."""

    ahead: int
    seconds: float | None


@dataclass(frozen=True)
class Load:
    """Jobs together: how many, the pixels and steps that they take, and the device's seconds for it if known."""

    jobs: float = 0.0
    pixel_steps: float = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Load) -> Load:
        seconds = None if self.seconds is None or other.seconds is None else self.seconds + other.seconds
        return Load(self.jobs + other.jobs, self.pixel_steps + other.pixel_steps, seconds)

    def times(self, factor: float) -> Load:
        """So many times as much of the same."""
        seconds = None if self.seconds is None else self.seconds * factor
        return Load(self.jobs * factor, self.pixel_steps * factor, seconds)


NOTHING = Load()


class Paces:
    """Seconds of the device for one pixel and step of each kind of job, as the last finished ones took."""

    def __init__(self, samples: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        self._samples = samples

    @classmethod
    async def read(cls, session: AsyncSession, weights_keys: Iterable[str]) -> Self:
        """The paces of these weights; of those that were never used, the pace of their model without LoRAs."""
        samples: dict[str, Sequence[tuple[int, float]]] = {}
        for key in set(weights_keys):
            samples[key] = await _finished(session, key) or await _finished(session, f"{key.partition('|')[0]}|")
        return cls(samples)

    def load(self, weights_key: str, pixels: int, pixel_steps: float, jobs: int = 1) -> Load:
        """Jobs of one kind; the pace of the same size counts or, without any, that of other sizes, pixel for pixel."""
        samples = self._samples[weights_key]
        paces = [pace for size, pace in samples if size == pixels] or [pace for _, pace in samples]
        return Load(jobs, pixel_steps, median(paces) * pixel_steps if paces else None)


class Line:
    """What stands before one queued job, read in a bounded number of rows and a count of index entries."""

    def __init__(self, job: Job, weights: Mapping[int, float]) -> None:
        self._job = job
        self._weight = weights.get(job.server_id, 1.0)
        self._weights = weights

    async def read(self, session: AsyncSession, now: float) -> None:
        """Look at the job's own server as far as the job, and at the others as far as they are near."""
        before = _is_before(self._job)
        sample = select(Job.weights_key, Job.pixels, Job.steps).where(before).order_by(Job.turn, Job.id)
        sampled = sample.limit(LINE_SAMPLE).subquery()
        kind = (sampled.c.weights_key, sampled.c.pixels)
        kinds = select(*kind, func.sum(sampled.c.steps), func.count()).group_by(*kind)
        self._kinds = (await session.execute(kinds)).all()
        self._own = await session.scalar(select(func.count()).where(before)) or 0
        counts = select(Job.server_id, func.count()).where(text(QUEUED)).group_by(Job.server_id)
        self._counts = dict((await session.execute(counts)).all())
        self._waiting, self._ledger = await read_waiting(session, self._weights, now)
        own = select(Share.finish).where(Share.server_id == self._job.server_id)
        self._finish = await session.scalar(own) or 0.0

    @property
    def weights_keys(self) -> set[str]:
        """All weights whose pace is needed."""
        return {key for key, *_ in self._kinds} | {job.weights_key for job in self._waiting}

    def load(self, paces: Paces) -> Load:
        """All that is served before the job."""
        seen = sum((paces.load(key, pixels, pixels * steps, jobs) for key, pixels, steps, jobs in self._kinds), NOTHING)
        own = seen.times(self._own / seen.jobs) if seen.jobs else seen
        account = Account(server_id=self._job.server_id, weight=self._weight, finish=self._finish)
        start = account.start(self._ledger.clock) + own.pixel_steps / PICTURE / self._weight
        place = (start, start if self._own else self._finish, self._job.server_id)
        others = self._ledger.accounts.keys() - {self._job.server_id}
        return sum((self._served(self._ledger.accounts[other], place, paces) for other in others), own)

    def _served(self, account: Account, place: tuple[float, float, int], paces: Paces) -> Load:
        """What another server is given before its next job stands behind this place."""
        served, clock = NOTHING, self._ledger.clock
        for job in [job for job in self._waiting if job.server_id == account.server_id]:
            if (account.start(clock), account.finish, account.server_id) > place:
                return served
            served += paces.load(job.weights_key, job.pixels, job.work * PICTURE)
            account = account.charge(job, clock)
        behind = self._counts.get(account.server_id, 0) - served.jobs
        room = max(0.0, place[0] - account.start(clock)) * account.weight * PICTURE
        return served + served.times(min(behind / served.jobs, room / served.pixel_steps))


async def position_of(
    session: AsyncSession, job: Job, weights: Mapping[int, float], now: float, lease: float
) -> Position:
    """The place of a job, and the time left.

    A queued one waits for what runs and for what is served before it, shared among the workers that have been seen
    within ``lease`` seconds; a running one shares its worker with the others there, step by step.
    """
    kind = (Job.weights_key, Job.pixels, Job.steps - Job.step, Job.worker_id)
    running = (await session.execute(select(*kind).where(text(RUNNING), Job.id != job.id))).all()
    keys, left = {job.weights_key, *(key for key, *_ in running)}, job.steps - job.step
    if job.status != JobStatus.QUEUED:
        paces = await Paces.read(session, keys)
        beside = [(key, pixels, min(steps, left)) for key, pixels, steps, worker in running if worker == job.worker_id]
        kinds = [(job.weights_key, job.pixels, left), *beside]
        return Position(
            0, sum((paces.load(key, pixels, pixels * steps) for key, pixels, steps in kinds), NOTHING).seconds
        )
    line = Line(job, weights)
    await line.read(session, now)
    paces = await Paces.read(session, keys | line.weights_keys)
    ahead = line.load(paces)
    before = sum((paces.load(key, pixels, pixels * steps) for key, pixels, steps, _ in running), ahead)
    workers = await session.scalar(select(func.count()).where(WorkerState.seen_at >= now - lease))
    painters = workers or len({worker for *_, worker in running}) or 1
    own = paces.load(job.weights_key, job.pixels, job.pixels * left)
    seconds = None if before.seconds is None or own.seconds is None else before.seconds / painters + own.seconds
    return Position(round(ahead.jobs), seconds)


def _is_before(job: Job) -> ColumnElement[bool]:
    place = tuple_(literal(job.turn), literal(job.id, Job.id.type))
    return and_(text(QUEUED), Job.server_id == job.server_id, tuple_(Job.turn, Job.id) < place)


async def _finished(session: AsyncSession, weights_key: str) -> list[tuple[int, float]]:
    """Size and pace of the last jobs of these weights that were painted."""
    pace = Job.busy_seconds / (Job.pixels * Job.steps)
    ours = (Job.weights_key == weights_key, Job.kind == JobKind.PAINT, Job.pixels > 0)
    last = select(Job.pixels, pace).where(text(PAINTED), *ours)
    rows = await session.execute(last.order_by(Job.finished_at.desc()).limit(PACE_SAMPLE))
    return [(pixels, pace or 0.0) for pixels, pace in rows]
