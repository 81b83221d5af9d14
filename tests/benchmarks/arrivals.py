"""People arrive at random at four fifths of what the device can do: how long each waits, by way of batching."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from bot.settings import Settings
from generators.base import Finished, GenerationRequest, ModelCard
from generators.executor import Executor
from tests.benchmarks.figures import ROUNDS, cores, share, show, spread
from tests.tiny_models import build_small_xl_pipeline

ARRIVALS = 40
STEPS = (8, 50)
LOAD = 0.8


@dataclass(frozen=True)
class Arrival:
    """A request, and when it comes in seconds from the start."""

    at: float
    request: GenerationRequest


class Clock:
    """The device's own time: it stands still while nobody is there, so that a quiet hour costs no waiting."""

    def __init__(self) -> None:
        self._skipped = -time.perf_counter()

    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() + self._skipped

    def skip_to(self, at: float) -> None:
        """Let the time pass in which nothing happens."""
        self._skipped += max(0.0, at - self.now())


def main() -> None:
    """Print a table for each model."""
    with tempfile.TemporaryDirectory() as folder:
        build_small_xl_pipeline(Path(folder))
        xl = ModelCard.read("xl", folder, guidance_scale=5.0)
        for card in (Settings().default_card, xl):
            _measure(card)


def _measure(card: ModelCard) -> None:
    executor = Executor({card.name: card}, max_batch=Settings().max_batch)
    rate = LOAD * _capacity(executor, card)
    ways: dict[str, Callable[[Executor, Sequence[Arrival]], list[float]]] = {
        "the executor, step by step": _step_wise,
        "whole batches: all join, and all leave, together": _whole_batches,
        "one at a time": _one_at_a_time,
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in ways}
    for round_ in range(ROUNDS):
        arrivals = list(_arrivals(card, rate, random.Random(round_)))
        for name, way in ways.items():
            seconds[name].append(way(executor, arrivals))
    executor.close()
    ours, theirs, alone = ([mean(round_) for round_ in rounds] for rounds in seconds.values())
    show(
        f"{card.name}: {ARRIVALS} requests of {STEPS[0]} to {STEPS[1]} steps, {rate:.2f} a second",
        ("", "mean seconds", "95 % within"),
        [
            (name, spread([mean(one) for one in rounds]), spread([share(one, 0.95) for one in rounds]))
            for name, rounds in seconds.items()
        ],
        f"Median (lowest to highest) of {ROUNDS} rounds. The executor's mean is {_ratio(ours, theirs):.2f} of whole "
        f"batches and {_ratio(ours, alone):.2f} of one at a time.",
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def _capacity(executor: Executor, card: ModelCard) -> float:
    """Requests a second when there are always some waiting."""
    requests = [arrival.request for arrival in _arrivals(card, 1e9, random.Random("capacity"))]
    _step_wise(executor, [Arrival(0.0, requests[0])])  # loads the model
    started = time.perf_counter()
    _step_wise(executor, [Arrival(0.0, request) for request in requests])
    return len(requests) / (time.perf_counter() - started)


def _arrivals(card: ModelCard, rate: float, dice: random.Random) -> Iterator[Arrival]:
    at = 0.0
    for seed in range(ARRIVALS):
        at += dice.expovariate(rate)
        yield Arrival(
            at,
            GenerationRequest(
                prompt="a red cat",
                model=card.name,
                width=card.width,
                height=card.height,
                num_inference_steps=dice.randint(*STEPS),
                guidance_scale=card.guidance_scale,
                seed=seed,
            ),
        )


def _step_wise(executor: Executor, arrivals: Sequence[Arrival]) -> list[float]:
    """Who has come joins as soon as there is room, and leaves when painted."""
    clock, waiting, seconds = Clock(), list(arrivals), list[float]()
    while len(seconds) < len(arrivals):
        if not executor.in_flight:
            clock.skip_to(waiting[0].at)
        while waiting and waiting[0].at <= clock.now() and _fits(executor, waiting[0]):
            _admit(executor, waiting.pop(0))
        seconds += [clock.now() - arrivals[int(key)].at for key in _finished(executor)]
    return seconds


def _whole_batches(executor: Executor, arrivals: Sequence[Arrival]) -> list[float]:
    """Who has come joins when the batch before has ended; all are answered when the last of them is painted."""
    clock, waiting, seconds = Clock(), list(arrivals), list[float]()
    while waiting:
        clock.skip_to(waiting[0].at)
        batch: list[Arrival] = []
        while waiting and waiting[0].at <= clock.now() and _fits(executor, waiting[0]):
            batch.append(waiting.pop(0))
            _admit(executor, batch[-1])
        while executor.in_flight:
            _finished(executor)
        seconds += [clock.now() - arrival.at for arrival in batch]
    return seconds


def _one_at_a_time(executor: Executor, arrivals: Sequence[Arrival]) -> list[float]:
    clock, seconds = Clock(), list[float]()
    for arrival in arrivals:
        clock.skip_to(arrival.at)
        _admit(executor, arrival)
        while executor.in_flight:
            _finished(executor)
        seconds.append(clock.now() - arrival.at)
    return seconds


def _fits(executor: Executor, arrival: Arrival) -> bool:
    return executor.capacity(arrival.request.model) >= arrival.request.pixels


def _admit(executor: Executor, arrival: Arrival) -> None:
    executor.admit(str(arrival.request.seed), arrival.request)


def _finished(executor: Executor) -> list[str]:
    return [event.key for event in executor.step() if isinstance(event, Finished)]


if __name__ == "__main__":
    cores()
    main()
