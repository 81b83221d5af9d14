"""Fair queueing: the order of jobs and what a worker gets, without a clock or a database.

Two levels of start-time fair queueing (Goyal, Vin, Cheng 1996). Servers share the workers by their weights: a claim
costs a server the denoising work of the claimed jobs, divided by its weight, and the server with the least cost is
next. Inside a server, turns go round by user: a user's job starts where their last one ended, 1 / weight later, but
never before the turn that the server has reached (``now``). So before a job with turn t, another member of weight w
gets at most ``(t - now) * w + 1`` jobs, however many they request; and two servers that always wait get shares of the
work that differ from their weights by at most one job of each.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

LOOK_AHEAD = 32
"""How many jobs from the head of the queue a claim searches for the weights that are in memory."""
PATIENCE = 15.0
"""Seconds for which a job may be passed over by later ones whose weights are in memory."""
GRACE = 1.0
"""Seconds for which a new job is left to a better placed worker."""
PICTURE = 512 * 512 * 20
"""The unit of denoising work: one picture of 512 x 512 pixels and 20 steps."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A queued job.

    ``since`` is when it became claimable, ``charged`` whether its server's share was charged before.
    """

    id: int
    user_id: int = 0
    server_id: int = 0
    turn: float = 0.0
    weights_key: str = ""
    pixels: int = 0
    work: float = 1.0
    since: float = 0.0
    tried: bool = False
    charged: bool = False
    passed_over_at: float | None = None

    @property
    def cost(self) -> float:
        """What its server's share is charged; nothing for a retry."""
        return 0.0 if self.charged else self.work

    def is_new(self, now: float) -> bool:
        """Whether it is still left to a better placed worker."""
        return now < self.since + GRACE


@dataclass(frozen=True, kw_only=True)
class Account:
    """One server's account: its users' current turn, and the virtual time at which its work is paid off."""

    server_id: int
    weight: float = 1.0
    turn: float = 0.0
    finish: float = 0.0

    def start(self, clock: float) -> float:
        """The virtual time of its next service; idle time earns no credit."""
        return max(clock, self.finish)

    def charge(self, job: Waiting, clock: float) -> Account:
        """The account after the job."""
        return replace(self, finish=self.start(clock) + job.cost / self.weight) if job.cost else self


@dataclass(frozen=True, kw_only=True)
class WorkerCapacity:
    """A worker's free capacity in pixels, the weights key of its batch (None: idle), and the weights keys in memory.

    ``in_flight`` is the pixels of each user's claimed jobs. More than ``per_user`` would only be processed one after
    the other, while other users find the worker full.
    """

    room: int
    painting: str | None = None
    loaded: Collection[str] = ()
    per_user: float = math.inf
    in_flight: Mapping[int, int] = field(default_factory=dict[int, int])

    def fitness(self, job: Waiting) -> int:
        """3: idle with the weights loaded; 2: painting with them; 1: idle, must load them; 0: unsuitable."""
        if job.pixels > self.room or self.painting not in (None, job.weights_key):
            return 0
        if self.painting is not None:
            return 2
        return 3 if job.weights_key in self.loaded else 1


@dataclass(frozen=True)
class Claim:
    """The jobs that a claim takes, in fair order, and the jobs that it passes over for the first time."""

    taken: Sequence[Waiting] = ()
    passed: Sequence[Waiting] = ()


@dataclass(frozen=True)
class ShareAccounts:
    """The accounts of the waiting servers, and the queue's virtual time."""

    accounts: Mapping[int, Account] = field(default_factory=dict[int, Account])
    clock: float = 0.0


def fair_order(waiting: Iterable[Waiting], ledger: ShareAccounts, limit: int = LOOK_AHEAD) -> list[Waiting]:
    """The jobs in the order in which a single worker would get them, at most ``limit``."""
    lines: dict[int, deque[Waiting]] = {}
    for job in sorted(waiting, key=lambda job: (job.turn, job.id)):
        lines.setdefault(job.server_id, deque()).append(job)
    accounts = {server_id: ledger.accounts[server_id] for server_id in lines}
    heap = [_place(account, ledger.clock) for account in accounts.values()]
    heapq.heapify(heap)
    order: list[Waiting] = []
    while heap and len(order) < limit:
        *_, server_id = heapq.heappop(heap)
        job = lines[server_id].popleft()
        order.append(job)
        accounts[server_id] = accounts[server_id].charge(job, ledger.clock)
        if lines[server_id]:
            heapq.heappush(heap, _place(accounts[server_id], ledger.clock))
    return order


def choose(order: Sequence[Waiting], worker: WorkerCapacity, others: Sequence[WorkerCapacity], now: float) -> Claim:
    """The jobs that a worker gets, from the due jobs in fair order.

    All use the same weights and fit the free capacity; an idle worker may take one oversized job. A later job of the
    same weights never overtakes one that does not fit yet. A retried job is taken alone, so that a request that crashes
    workers cannot take its neighbours down twice. A user gets at most ``per_user`` pixels, or one job. Jobs whose
    weights are in memory go first, until another one has been passed over for PATIENCE seconds: then the worker
    finishes its batch and switches. For GRACE seconds a job is left to a better placed worker.
    """
    order = _within_shares(order, worker)
    left = {job.id for job in order if _is_for_another(job, worker, others, now)}
    mine = [job for job in order if job.id not in left]
    if not mine:
        return Claim()
    head = mine[0]
    if worker.painting is not None:
        return Claim() if order[0].tried else _gather(order, left, worker.painting, worker, now)
    if head.tried:
        return _passing(order, [head])
    at_hand = [job.weights_key for job in mine if job.weights_key in worker.loaded]
    choices = (_gather(order, left, weights_key, worker, now) for weights_key in (*at_hand, head.weights_key))
    return next(choice for choice in choices if choice.taken)


def settle(order: Sequence[Waiting], taken: Sequence[Waiting], ledger: ShareAccounts) -> ShareAccounts:
    """The accounts after a claim: taken jobs are charged, and virtual time advances.

    Neither the queue's time nor a server's turn passes a job that still waits, so jobs passed over lose nothing.
    """
    accounts, clock = dict(ledger.accounts), ledger.clock
    served_until = clock
    for job in taken:
        served_until = max(served_until, accounts[job.server_id].start(clock))
        accounts[job.server_id] = accounts[job.server_id].charge(job, clock)
    gone = {job.id for job in taken}
    waiting = [job for job in order if job.id not in gone]
    starts = [accounts[job.server_id].start(clock) for job in waiting]
    for server_id, account in accounts.items():
        turns = [job.turn for job in taken if job.server_id == server_id]
        still = [job.turn for job in waiting if job.server_id == server_id and not job.tried]
        if turns:
            accounts[server_id] = replace(account, turn=max(account.turn, min([max(turns), *still])))
    return ShareAccounts(accounts, max(clock, min([served_until, *starts])))


def _place(account: Account, clock: float) -> tuple[float, float, int]:
    return account.start(clock), account.finish, account.server_id


def _within_shares(order: Sequence[Waiting], worker: WorkerCapacity) -> list[Waiting]:
    """The jobs, without those whose users would exceed their pixels in flight."""
    in_flight = dict(worker.in_flight)
    mine: list[Waiting] = []
    for job in order:
        has = in_flight.get(job.user_id, 0)
        if not has or has + job.pixels <= worker.per_user:
            in_flight[job.user_id] = has + job.pixels
            mine.append(job)
    return mine


def _is_for_another(job: Waiting, worker: WorkerCapacity, others: Sequence[WorkerCapacity], now: float) -> bool:
    return job.is_new(now) and any(other.fitness(job) > worker.fitness(job) for other in others)


def _gather(order: Sequence[Waiting], left: set[int], weights_key: str, worker: WorkerCapacity, now: float) -> Claim:
    """The jobs of these weights until one does not fit, or until one of others has been passed over for too long."""
    taken: list[Waiting] = []
    room = worker.room
    for job in order:
        if job.weights_key == weights_key and not job.tried and job.id not in left:
            if job.pixels > room and (taken or worker.painting is not None):
                break
            taken.append(job)
            room -= job.pixels
        elif job.passed_over_at is not None and now - job.passed_over_at >= PATIENCE:
            break
    return _passing(order, taken)


def _passing(order: Sequence[Waiting], taken: list[Waiting]) -> Claim:
    """The choice, with the jobs before the last taken one that are passed over for the first time."""
    gone = {job.id for job in taken}
    last = max((place for place, job in enumerate(order) if job.id in gone), default=0)
    return Claim(taken, [job for job in order[:last] if job.id not in gone and job.passed_over_at is None])
