"""Estimates: a job's position in the queue, and seconds until it is done at the measured speed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Self

from sqlalchemy import ColumnElement, Tuple, and_, bindparam, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.queue.candidates import read_waiting
from limner.bot.queue.fairness import PICTURE, Account, Waiting
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.tables.models import PAINTED, QUEUED, RUNNING, Job
from limner.bot.storage.tables.worker_tables import Share, WorkerState

PACE_SAMPLE = 64
"""How many finished jobs of the same weights the speed is measured from."""
LINE_SAMPLE = 1000
"""How many jobs ahead are read; those behind them are assumed to be alike."""

# Built once: building a statement takes longer than running it.
JOBS = Job.metadata.tables["jobs"].c
PAINTING = select(JOBS.id, JOBS.weights_key, JOBS.pixels, JOBS.steps - JOBS.step, JOBS.worker_id).where(text(RUNNING))
AHEAD = (
    select(JOBS.turn, JOBS.id, JOBS.weights_key, JOBS.pixels, JOBS.steps)
    .where(
        text(QUEUED),
        JOBS.server_id == bindparam("server"),
        tuple_(JOBS.turn, JOBS.id)
        < tuple_(bindparam("turn", type_=JOBS.turn.type), bindparam("id", type_=JOBS.id.type)),
    )
    .order_by(JOBS.turn, JOBS.id)
    .limit(LINE_SAMPLE)
)
FINISH = select(Share.finish).where(Share.server_id == bindparam("server"))
LIVE_WORKERS = select(func.count()).where(WorkerState.seen_at >= bindparam("since"))
FINISHED = (
    select(JOBS.pixels, JOBS.busy_seconds / (JOBS.pixels * JOBS.steps))
    .where(text(PAINTED), JOBS.weights_key == bindparam("key"), JOBS.kind == JobKind.PAINT, JOBS.pixels > 0)
    .order_by(JOBS.finished_at.desc())
    .limit(PACE_SAMPLE)
)
"""Size and step time of the last finished jobs of some weights."""


@dataclass(frozen=True)
class Position:
    """A queued job's position: jobs served before it, and seconds until it is done (None: not measured yet)."""

    ahead: int
    seconds: float | None


@dataclass(frozen=True)
class Load:
    """A group of jobs: their number, pixel-steps, and device seconds if known."""

    jobs: float = 0.0
    pixel_steps: float = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Load) -> Load:
        seconds = None if self.seconds is None or other.seconds is None else self.seconds + other.seconds
        return Load(self.jobs + other.jobs, self.pixel_steps + other.pixel_steps, seconds)

    def times(self, factor: float) -> Load:
        """The load multiplied by a factor."""
        seconds = None if self.seconds is None else self.seconds * factor
        return Load(self.jobs * factor, self.pixel_steps * factor, seconds)


NOTHING = Load()


class StepTimes:
    """Device seconds per pixel and step of each kind of job, from the last finished ones."""

    def __init__(self, samples: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        self._samples = samples
        self._medians: dict[tuple[str, int], float | None] = {}

    @classmethod
    async def read(cls, session: AsyncSession, weights_keys: Iterable[str]) -> Self:
        """Step times of these weights; for weights never used, those of their model without LoRAs."""
        samples: dict[str, Sequence[tuple[int, float]]] = {}
        for key in set(weights_keys):
            samples[key] = await _finished(session, key) or await _finished(session, f"{key.partition('|')[0]}|")
        return cls(samples)

    def load(self, weights_key: str, pixels: int, pixel_steps: float, jobs: int = 1) -> Load:
        """The load of jobs of one kind.

        Times of the same size count or, without any, those of other sizes per pixel.
        """
        kind = weights_key, pixels
        if kind not in self._medians:
            samples = self._samples[weights_key]
            paces = [pace for size, pace in samples if size == pixels] or [pace for _, pace in samples]
            self._medians[kind] = median(paces) if paces else None
        pace = self._medians[kind]
        return Load(jobs, pixel_steps, None if pace is None else pace * pixel_steps)


class JobsAhead:
    """Jobs ahead of some queued jobs of one server, read in a bounded number of rows and a count of index entries.

    The first rows show what the others are like.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = sorted(jobs, key=_place)
        self._server_id = jobs[0].server_id

    async def read(self, session: AsyncSession) -> None:
        """Read the server's own queue as far as the last of the jobs."""
        last = self._jobs[-1]
        place = {"server": self._server_id, "turn": last.turn, "id": last.id}
        rows = (await session.execute(AHEAD, place)).all()
        self._places = [(turn, job_id) for turn, job_id, *_ in rows]
        self._kinds = [(key, pixels, pixels * steps) for *_, key, pixels, steps in rows]
        self._numbers: dict[int, int] = {}
        counted: Job | None = None
        for job in self._jobs:
            number = bisect_left(self._places, _place(job))
            if number == LINE_SAMPLE:  # each index entry is counted once, for any number of jobs behind it
                between = [_is_before(job)] if counted is None else [_is_before(job), _is_from(counted)]
                number = await session.scalar(select(func.count()).where(*between)) or 0
                number += 0 if counted is None else self._numbers[counted.id]
                counted = job
            self._numbers[job.id] = number
        self._finish = await session.scalar(FINISH, {"server": self._server_id}) or 0.0

    @property
    def weights_keys(self) -> set[str]:
        """All weights keys whose step time is needed."""
        return {key for key, *_ in self._kinds}

    def loads(self, others: Others, paces: StepTimes) -> Iterator[tuple[Job, Load]]:
        """The load served before each of the jobs."""
        seen, looked_at = NOTHING, 0
        for job in self._jobs:
            number = self._numbers[job.id]
            for (key, pixels, pixel_steps), alike in Counter(self._kinds[looked_at:number]).items():
                seen += paces.load(key, pixels, pixel_steps).times(alike)
            looked_at = max(looked_at, min(number, len(self._kinds)))
            own = seen.times(number / seen.jobs) if seen.jobs else seen
            yield job, own + others.before(self._server_id, own, self._finish, paces)


class Others:
    """The first waiting jobs of every server, and how many more wait there."""

    def __init__(self, server_weights: Mapping[int, float]) -> None:
        self._server_weights = server_weights

    async def read(self, session: AsyncSession, own: Set[int], now: float) -> None:
        """Read the servers' queues as far as they can matter for jobs of the servers ``own``."""
        waiting, self._ledger = await read_waiting(session, self._server_weights, now)
        self._counts: dict[int, int] = {}
        if len(self._ledger.accounts.keys() | own) > 1:
            counts = select(Job.server_id, func.count()).where(text(QUEUED)).group_by(Job.server_id)
            self._counts = dict((await session.execute(counts)).all())
        self._waiting: dict[int, list[Waiting]] = {}
        for job in waiting:
            self._waiting.setdefault(job.server_id, []).append(job)

    @property
    def weights_keys(self) -> set[str]:
        """All weights keys whose step time is needed."""
        return {job.weights_key for jobs in self._waiting.values() for job in jobs}

    def before(self, server_id: int, own: Load, finish: float, paces: StepTimes) -> Load:
        """The load of other servers served before a job that has so much of its own server's load before it."""
        weight = self._server_weights.get(server_id, 1.0)
        account = Account(server_id=server_id, weight=weight, finish=finish)
        start = account.start(self._ledger.clock) + own.pixel_steps / PICTURE / weight
        place = (start, start if own.jobs else finish, server_id)
        others = self._ledger.accounts.keys() - {server_id}
        return sum((self._served(self._ledger.accounts[other], place, paces) for other in others), NOTHING)

    def _served(self, account: Account, place: tuple[float, float, int], paces: StepTimes) -> Load:
        """The load of another server served before this position."""
        served, clock = NOTHING, self._ledger.clock
        for job in self._waiting[account.server_id]:
            if (account.start(clock), account.finish, account.server_id) > place:
                return served
            served += paces.load(job.weights_key, job.pixels, job.work * PICTURE)
            account = account.charge(job, clock)
        behind = self._counts.get(account.server_id, 0) - served.jobs
        room = max(0.0, place[0] - account.start(clock)) * account.weight * PICTURE
        return served + served.times(min(behind / served.jobs, room / served.pixel_steps))


async def positions_of(
    session: AsyncSession, jobs: Sequence[Job], server_weights: Mapping[int, float], now: float, lease: float
) -> list[Position]:
    """The position of each job and the time left; shared data is read once.

    A queued job waits for running jobs and for those served before it, divided among the workers that reported within
    ``lease`` seconds; a running one shares its worker with the others there, step by step.
    """
    running = (await session.execute(PAINTING)).all()
    keys = {job.weights_key for job in jobs} | {key for _, key, *_ in running}
    queues: dict[int, list[Job]] = {}
    for job in jobs:
        if job.status == JobStatus.QUEUED:
            queues.setdefault(job.server_id, []).append(job)
    lines, others = [JobsAhead(queue) for queue in queues.values()], Others(server_weights)
    for line in lines:
        await line.read(session)
        keys |= line.weights_keys
    if lines:
        await others.read(session, queues.keys(), now)
        keys |= others.weights_keys
    paces = await StepTimes.read(session, keys)
    workers = await session.scalar(LIVE_WORKERS, {"since": now - lease})
    workers_alive = workers or len({worker for *_, worker in running}) or 1
    before = {job.id: load for line in lines for job, load in line.loads(others, paces)}
    painting = [
        _Painting(job_id, worker, left, paces.load(key, pixels, pixels))
        for job_id, key, pixels, left, worker in running
    ]
    return [_position(job, before.get(job.id), painting, paces, workers_alive) for job in jobs]


class _Painting(NamedTuple):
    """A running job, its steps left, and the seconds of one."""

    job_id: int
    worker_id: str | None
    left: int
    step: Load


def _position(
    job: Job, before: Load | None, painting: Sequence[_Painting], paces: StepTimes, workers_alive: int
) -> Position:
    left = job.steps - job.step
    own = paces.load(job.weights_key, job.pixels, job.pixels * left)
    others = [one for one in painting if one.job_id != job.id]
    if before is None:
        beside = [one.step.times(min(one.left, left)) for one in others if one.worker_id == job.worker_id]
        return Position(0, sum(beside, own).seconds)
    ahead = sum((one.step.times(one.left) for one in others), before)
    seconds = None if ahead.seconds is None or own.seconds is None else ahead.seconds / workers_alive + own.seconds
    return Position(round(before.jobs), seconds)


def _place(job: Job) -> tuple[float, int]:
    return job.turn, job.id


def _is_before(job: Job) -> ColumnElement[bool]:
    return and_(text(QUEUED), Job.server_id == job.server_id, tuple_(Job.turn, Job.id) < _literal(job))


def _is_from(job: Job) -> ColumnElement[bool]:
    return tuple_(Job.turn, Job.id) >= _literal(job)


def _literal(job: Job) -> Tuple:
    return tuple_(literal(job.turn), literal(job.id, Job.id.type))


async def _finished(session: AsyncSession, weights_key: str) -> list[tuple[int, float]]:
    """Size and step time of the last finished jobs of these weights."""
    rows = await session.execute(FINISHED, {"key": weights_key})
    return [(pixels, pace or 0.0) for pixels, pace in rows]
