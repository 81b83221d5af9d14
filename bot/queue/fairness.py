"""Whose turn it is and what a worker is given: the queue's rules, without a clock or a database of their own.

Two levels of start-time fair queueing (Goyal, Vin, Cheng 1996). Servers share the painters by their weights: a claim
costs a server the denoising work of what it was given, divided by its weight, and the server that has had least is
next. Inside a server turns go round by user: a user's job starts where their last one ended, 1 / weight later, but
never before the turn that the server has come to (``now``). So before a job with turn t somebody else of weight w is
served at most ``(t - now) * w + 1`` times, however much they ask for; and two servers that always wait have shares of
the work that differ from their weights by at most one job of each.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

LOOK_AHEAD = 32
"""How far behind the head of the queue a claim looks for jobs of the weights that are in memory."""
PATIENCE = 15.0
"""Seconds that a job may be passed over by later ones whose weights are in memory."""
GRACE = 1.0
"""Seconds that a new job is left for a worker that is better placed to paint it."""
PICTURE = 512 * 512 * 20
"""Denoising work is counted in pictures of 512 x 512 pixels and 20 steps."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A queued job; ``since`` is when it could first be claimed, ``charged`` whether its share was taken before."""

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
        """What its server's share still has to pay: a job that is tried again is paid for."""
        return 0.0 if self.charged else self.work

    def is_new(self, now: float) -> bool:
        """Whether it is still left for a worker that is better placed."""
        return now < self.since + GRACE


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one server has had: the turn that its users have come to, and the virtual time until which it is served."""

    server_id: int
    weight: float = 1.0
    turn: float = 0.0
    finish: float = 0.0

    def start(self, clock: float) -> float:
        """When it is next, in virtual time: who was away saves nothing."""
        return max(clock, self.finish)

    def charge(self, job: Waiting, clock: float) -> Account:
        """The same account after the job."""
        return replace(self, finish=self.start(clock) + job.cost / self.weight) if job.cost else self


@dataclass(frozen=True, kw_only=True)
class WorkerCapacity:
    """A worker: its free room in pixels, the weights it paints with now (None: idle), and all that are in memory.

    ``in_flight`` are the pixels of each user whose jobs it has; with more than ``per_user`` it would only work through
    them one after the other while somebody else who comes finds it full.
    """

    room: int
    painting: str | None = None
    loaded: Collection[str] = ()
    per_user: float = math.inf
    in_flight: Mapping[int, int] = field(default_factory=dict[int, int])

    def fitness(self, job: Waiting) -> int:
        """How well placed it is: idle with the weights, painting with them, about to load them, or not at all."""
        if job.pixels > self.room or self.painting not in (None, job.weights_key):
            return 0
        if self.painting is not None:
            return 2
        return 3 if job.weights_key in self.loaded else 1


@dataclass(frozen=True)
class Choice:
    """What a claim takes, in fair order, and which jobs are passed over by that for the first time."""

    taken: Sequence[Waiting] = ()
    passed: Sequence[Waiting] = ()


@dataclass(frozen=True)
class Ledger:
    """The accounts of the servers that wait, and the queue's virtual time."""

    accounts: Mapping[int, Account] = field(default_factory=dict[int, Account])
    clock: float = 0.0


def fair_order(waiting: Iterable[Waiting], ledger: Ledger, limit: int = LOOK_AHEAD) -> list[Waiting]:
    """The jobs in the order in which one worker would be given them, at most ``limit``."""
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


def choose(order: Sequence[Waiting], worker: WorkerCapacity, others: Sequence[WorkerCapacity], now: float) -> Choice:
    """What a worker is given of the jobs that are due, which are in fair order.

    All that it is given has the same weights and fits into its room, but for the first one that an idle worker is
    given; a later job of the same weights never overtakes one that does not fit yet. A job that was tried before is
    given alone, so that a poison request cannot take its neighbours down twice. Nobody is given more than ``per_user``,
    but for one job. Jobs of the weights that are in memory
    go before others until one of these has been passed over for PATIENCE seconds: then the worker paints what it has to
    its end and switches. For GRACE seconds a job is left for another worker that is better placed.
    """
    order = _within_shares(order, worker)
    left = {job.id for job in order if _is_for_another(job, worker, others, now)}
    mine = [job for job in order if job.id not in left]
    if not mine:
        return Choice()
    head = mine[0]
    if worker.painting is not None:
        return Choice() if order[0].tried else _gather(order, left, worker.painting, worker, now)
    if head.tried:
        return _passing(order, [head])
    at_hand = [job.weights_key for job in mine if job.weights_key in worker.loaded]
    choices = (_gather(order, left, weights_key, worker, now) for weights_key in (*at_hand, head.weights_key))
    return next(choice for choice in choices if choice.taken)


def settle(order: Sequence[Waiting], taken: Sequence[Waiting], ledger: Ledger) -> Ledger:
    """The accounts after a claim: what was taken is paid for, and time goes on.

    Neither the queue's time nor a server's turn goes past one that still waits: who is passed over loses nothing.
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
    return Ledger(accounts, max(clock, min([served_until, *starts])))


def _place(account: Account, clock: float) -> tuple[float, float, int]:
    return account.start(clock), account.finish, account.server_id


def _within_shares(order: Sequence[Waiting], worker: WorkerCapacity) -> list[Waiting]:
    """The jobs without those whose users would have more in hand than each may."""
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


def _gather(order: Sequence[Waiting], left: set[int], weights_key: str, worker: WorkerCapacity, now: float) -> Choice:
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


def _passing(order: Sequence[Waiting], taken: list[Waiting]) -> Choice:
    """The choice, with the jobs that stand before the last one taken and have not been passed over before."""
    gone = {job.id for job in taken}
    last = max((place for place, job in enumerate(order) if job.id in gone), default=0)
    return Choice(taken, [job for job in order[:last] if job.id not in gone and job.passed_over_at is None])
