"""Fairness under random arrivals: the rules alone on a simulated clock, then the real queue on its database.

One worker paints the simulated jobs. Where a test is about turns they all have the same weights and are painted one
at a time, so that a job's time is the unit; where it is about weights in memory several are claimed together.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, strategies
from hypothesis import settings as effort

from limner.bot.queue.fairness import (
    GRACE,
    PATIENCE,
    Account,
    ShareAccounts,
    Waiting,
    WorkerCapacity,
    choose,
    fair_order,
    settle,
)
from limner.generators.base import Expansion

EXPANSION = Expansion("a fox", "", (), "", 0.0)
SERVERS = {0: 1.0, 1: 2.0, 2: 0.5}
"""The simulated servers' weights."""
CLASSES = (1.0, 1.0, 2.0, 0.5)
"""The weights of four users of each server."""


@dataclass(frozen=True)
class Served:
    """A simulated job, the turn of its server when it was asked for, and how many had been claimed before."""

    job: Waiting
    user: int
    weight: float
    turn_then: float
    asked_after: int


@dataclass
class Simulation:
    """Members who ask and one worker, with a clock that moves only when it is told to."""

    now: float = 0.0
    waiting: dict[int, Served] = field(default_factory=dict[int, Served])
    served: list[Served] = field(default_factory=list[Served])
    ledger: ShareAccounts = field(
        default_factory=lambda: ShareAccounts({one: Account(server_id=one, weight=SERVERS[one]) for one in SERVERS})
    )
    ends: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])
    passed_since: dict[int, float] = field(default_factory=dict[int, float])
    ids: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, user: int, server: int = 0, weight: float = 1.0, **more: Any) -> Served:
        turn_then = self.ledger.accounts[server].turn
        turn = max(turn_then, self.ends.get((server, user), 0.0))
        self.ends[server, user] = turn + 1.0 / weight
        job = Waiting(id=next(self.ids), server_id=server, turn=turn, since=self.now, pixels=1, **more)
        asked = self.waiting[job.id] = Served(job, user, weight, turn_then, len(self.served))
        return asked

    def claim(self, worker: WorkerCapacity | None = None) -> list[Served]:
        """What the worker is given now; by default one job of any weights."""
        order = fair_order([one.job for one in self.waiting.values()], self.ledger)
        choice = choose(order, worker or WorkerCapacity(room=1), [], self.now)
        self._check_passing(order, [job.id for job in choice.taken])
        self.ledger = settle(order, choice.taken, self.ledger)
        for job in choice.passed:
            self.waiting[job.id] = replace(self.waiting[job.id], job=replace(job, passed_over_at=self.now))
        taken = [self.waiting.pop(job.id) for job in choice.taken]
        self.served += taken
        self._check_turns()
        return taken

    def _check_passing(self, order: list[Waiting], taken: list[int]) -> None:
        last = max((place for place, job in enumerate(order) if job.id in taken), default=0)
        for job in order[:last]:
            if job.id not in taken:
                since = self.passed_since.setdefault(job.id, self.now)
                assert self.now - since < PATIENCE, "a job was passed over for too long"

    def _check_turns(self) -> None:
        for one in self.waiting.values():
            account = self.ledger.accounts[one.job.server_id]
            assert account.turn <= one.job.turn, "a server's turn has gone past one that waits"


ARRIVALS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["ask", "ask", "burst", "claim", "claim", "claim"]),
        strategies.sampled_from(list(SERVERS)),
        strategies.integers(0, 3),
        strategies.sampled_from([0.5, 1.0, 3.0]),
    ),
    max_size=50,
)


def simulate(arrivals: list[tuple[str, int, int, float]]) -> Simulation:
    """Play the arrivals, then serve all that are left; one job at a time."""
    played = Simulation()
    for act, server, user, work in arrivals:
        if act == "claim":
            played.claim()
        for _ in range({"ask": 1, "burst": 12}.get(act, 0)):
            played.ask(user, server, CLASSES[user], work=work)
    while played.waiting:
        assert played.claim()
    return played


@effort(max_examples=40)
@given(arrivals=ARRIVALS)
def test_nobody_starves(arrivals: list[tuple[str, int, int, float]]):
    """Before a job is served, others of its server have as many turns as lie before its own, and one at most."""
    played = simulate(arrivals)

    for place, one in enumerate(played.served):
        between = [
            other for other in played.served[one.asked_after : place] if other.job.server_id == one.job.server_id
        ]
        for user, jobs in Counter(other.user for other in between).items():
            assert jobs <= (one.job.turn - one.turn_then) * CLASSES[user] + 1 + 1e-9


@effort(max_examples=40)
@given(arrivals=ARRIVALS)
def test_another_servers_crowd_takes_its_share_and_no_more(arrivals: list[tuple[str, int, int, float]]):
    """While a job waits, another server has work for its weight's share, and one job of each server at most."""
    played = simulate(arrivals)
    largest = max((one.job.work for one in played.served), default=0.0)

    for place, one in enumerate(played.served):
        mine, between = one.job.server_id, played.served[one.asked_after : place]
        work = {server: sum(other.job.work for other in between if other.job.server_id == server) for server in SERVERS}
        for other in SERVERS.keys() - {mine}:
            fair = work[mine] / SERVERS[mine]
            assert work[other] / SERVERS[other] <= fair + largest / SERVERS[mine] + largest / SERVERS[other] + 1e-9


@effort(max_examples=15)
@given(works=strategies.lists(strategies.floats(0.1, 5.0), min_size=3, max_size=3))
def test_work_is_shared_by_weight(works: list[float]):
    """At every moment two servers that always wait differ from their weights by one job of each at most."""
    played = Simulation()
    for server, user, _ in itertools.product(SERVERS, range(4), range(8)):
        played.ask(user, server, work=works[server])
    had = dict.fromkeys(SERVERS, 0.0)

    while {one.job.server_id for one in played.waiting.values()} == SERVERS.keys():
        [one] = played.claim()
        had[one.job.server_id] += one.job.work / SERVERS[one.job.server_id]
        for some, other in itertools.combinations(SERVERS, 2):
            bound = works[some] / SERVERS[some] + works[other] / SERVERS[other]
            assert abs(had[some] - had[other]) <= bound + 1e-9


@effort(max_examples=30)
@given(
    jobs=strategies.integers(1, 50), weight=strategies.sampled_from([0.5, 1.0, 2.0]), begun=strategies.integers(0, 50)
)
def test_fifty_jobs_delay_anothers_first_by_one(jobs: int, weight: float, begun: int):
    played = Simulation()
    for _ in range(jobs):
        played.ask(1, weight=weight)
    for _ in range(min(begun, jobs)):
        played.claim()
    running = 1 if begun else 0
    mine = played.ask(2)
    while mine not in played.served:
        played.claim()

    assert len(played.served) - 1 - mine.asked_after + running <= 1


@effort(max_examples=15)
@given(order=strategies.permutations([1] * 40 + [2] * 40))
def test_a_class_of_weight_two_has_twice_the_turns(order: list[int]):
    """And whoever waits beside it has a turn after two of its own, or three where turns are equal."""
    played = Simulation()
    for user in order:
        played.ask(user, weight=float(user))

    users = [played.claim()[0].user for _ in range(60)]

    assert users[:60].count(2) == pytest.approx(40, abs=2)
    runs = [len(list(run)) for user, run in itertools.groupby(users[:55]) if user == 2]
    assert max(runs) <= 3


def test_a_server_that_was_away_saves_nothing():
    played = Simulation()
    for _ in range(20):
        played.ask(1, server=0)
    for _ in range(10):
        played.claim()
    for _ in range(20):
        played.ask(2, server=1)

    servers = [played.claim()[0].job.server_id for _ in range(9)]

    assert servers.count(1) == pytest.approx(6, abs=1)


def test_a_server_that_is_passed_over_loses_nothing():
    played = Simulation()
    played.ask(1, server=0, weights_key="b")
    played.ask(1, server=0, weights_key="b")
    for _ in range(9):
        played.ask(2, server=1, weights_key="a")
    for _ in range(8):
        assert played.claim(WorkerCapacity(room=1, loaded=["a"]))[0].job.server_id == 1

    assert [played.claim()[0].job.server_id for _ in range(3)] == [0, 0, 1]


KINDS = strategies.lists(
    strategies.tuples(strategies.sampled_from("abc"), strategies.integers(0, 5), strategies.integers(0, 3)),
    min_size=1,
    max_size=80,
)


@effort(max_examples=40)
@given(asked=KINDS)
def test_weights_are_kept_but_nobody_is_passed_over_for_long(asked: list[tuple[str, int, int]]):
    """The worker paints four at a time, each for ten seconds; `Simulation.claim` checks every claim."""
    played, painting, loaded = Simulation(), dict[int, float](), ""
    arrivals = iter(asked)
    for _ in range(40 * len(asked)):
        played.now += 1.0
        painting = {job_id: until for job_id, until in painting.items() if until > played.now}
        if (arrival := next(arrivals, None)) is not None:
            kind, user, gap = arrival
            played.ask(user, weights_key=kind)
            played.now += gap
        worker = WorkerCapacity(room=4 - len(painting), painting=loaded if painting else None, loaded=[loaded])
        for one in played.claim(worker):
            loaded = one.job.weights_key
            painting[one.job.id] = played.now + 10.0

    assert not played.waiting


def waiting(number: int, **more: Any) -> Waiting:
    return Waiting(id=number, turn=float(number), pixels=1, **more)


def taken(order: list[Waiting], worker: WorkerCapacity, *others: WorkerCapacity, now: float = 100.0) -> list[int]:
    return [job.id for job in choose(order, worker, others, now).taken]


def test_an_idle_worker_drains_what_it_has_before_it_switches():
    order = [waiting(1, weights_key="b", passed_over_at=90.0), waiting(2, weights_key="a"), waiting(3, weights_key="b")]
    idle = WorkerCapacity(room=9, loaded=["a"])

    assert taken(order, idle, now=90.0 + PATIENCE - 0.1) == [2]
    assert taken(order, idle, now=90.0 + PATIENCE) == [1, 3]
    assert taken(order, WorkerCapacity(room=9, painting="a", loaded=["a"]), now=90.0 + PATIENCE) == []


def test_a_new_job_goes_to_the_worker_that_is_placed_best():
    order = [waiting(1, weights_key="a", since=100.0)]
    ready, joined, cold = (
        WorkerCapacity(room=1, loaded=["a"]),
        WorkerCapacity(room=1, painting="a", loaded=["a"]),
        WorkerCapacity(room=1),
    )

    for worker, others, is_given in [
        (cold, [ready], False),
        (cold, [joined], False),
        (joined, [ready], False),
        (joined, [cold], True),
        (ready, [joined, ready], True),
        (cold, [cold, replace(ready, room=0), replace(ready, painting="b")], True),
        (WorkerCapacity(room=0), [cold], False),
    ]:
        assert bool(taken(order, worker, *others, now=100.5)) == is_given
        assert taken(order, worker, *others, now=100.0 + GRACE) == ([] if worker.painting and worker.room < 1 else [1])


def test_nobody_fills_a_worker_with_what_it_cannot_paint_at_once():
    order = [*(waiting(number, user_id=7) for number in range(1, 6)), waiting(6, user_id=8), waiting(7, user_id=8)]
    idle = WorkerCapacity(room=9, per_user=2)

    assert taken(order, idle) == [1, 2, 6, 7]
    assert taken(order, WorkerCapacity(room=9, painting="", per_user=2, in_flight={7: 2, 8: 1})) == [6]
    assert taken(order, WorkerCapacity(room=9, painting="", per_user=2, in_flight={7: 1, 8: 2})) == [1]
    assert choose(order, idle, [], 100.0).passed == []


def test_one_job_may_be_larger_than_a_users_share():
    large = Waiting(id=1, user_id=7, pixels=5)

    assert taken([large], WorkerCapacity(room=9, per_user=2)) == [1]
    assert taken([large], WorkerCapacity(room=9, painting="", per_user=2, in_flight={7: 1})) == []


def test_one_that_failed_is_waited_for_and_painted_alone():
    order = [waiting(1, tried=True), waiting(2), waiting(3)]

    assert taken(order, WorkerCapacity(room=9, painting="")) == []
    assert taken(order, WorkerCapacity(room=9)) == [1]
    assert taken(order[1:] + order[:1], WorkerCapacity(room=9)) == [2, 3]
