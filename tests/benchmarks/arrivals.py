"""People arrive at random at four fifths of what the device can do: how long each waits, by way of batching."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from limner.bot.settings import Settings
from limner.generators.base import Finished, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest
from tests.benchmarks.executor import open_stock, paint_stock
from tests.benchmarks.figures import ROUNDS, cores, share, show, spread
from tests.tiny_models import build_small_xl_pipeline

ARRIVALS = 80
AT_ONCE = 24
STEPS = (8, 50)
LOAD = 0.8
OURS = "the executor, step by step"


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


BATCH = 4
"""Requests in one stock call, at most."""


def main() -> None:
    """Print a table for each model."""
    with tempfile.TemporaryDirectory() as folder:
        build_small_xl_pipeline(Path(folder))
        xl = ModelCard.read("xl", folder, guidance_scale=5.0)
        for card in (Settings().default_card, xl):
            _measure(card)


def _measure(card: ModelCard) -> None:
    executor = Executor({card.name: card}, max_batch=Settings().most_samples)
    rate = LOAD * _capacity(executor, card)
    pipe = open_stock(card)
    ways: dict[str, Callable[[Sequence[Arrival]], list[float]]] = {
        OURS: partial(_step_wise, executor),
        "the same steps, but nobody joins a batch that has begun": partial(_step_wise, executor, joining=False),
        "whole batches, each one stock call": partial(_stock_calls, pipe, BATCH),
        "one stock call after the other": partial(_stock_calls, pipe, 1),
    }
    rounds = [
        {name: way(arrivals) for name, way in ways.items()}
        for arrivals in (list(_arrivals(card, rate, random.Random(number))) for number in range(ROUNDS))
    ]
    executor.close()
    closed, batches, alone = (
        spread([mean(seconds[OURS]) / mean(seconds[name]) for seconds in rounds], "{:.2f}")
        for name in ways
        if name != OURS
    )
    show(
        f"{card.name}: {ROUNDS} times {ARRIVALS} requests of {STEPS[0]} to {STEPS[1]} steps, {rate:.2f} a second",
        ("", "mean seconds", "95 % within"),
        [
            (name, *(spread([figure(seconds[name]) for seconds in rounds], "{:.1f}") for figure in (mean, _most)))
            for name in ways
        ],
        f"Median (lowest to highest) of the rounds, each with the same arrivals for every way. The executor's mean is "
        f"{batches} of whole batches, {closed} of closed ones and {alone} of one at a time.",
    )


def _most(seconds: Sequence[float]) -> float:
    return share(seconds, 0.95)


def _capacity(executor: Executor, card: ModelCard) -> float:
    """Requests a second while there are always some waiting, from the steps taken: who is still in flight counts."""
    waiting = _arrivals(card, 1.0, random.Random("capacity"))
    _step_wise(executor, [next(waiting)])  # loads the model
    enough, steps, clock = AT_ONCE * mean(STEPS), 0, Clock()
    coming = next(waiting)
    while steps < enough:
        while _fits(executor, coming):
            _admit(executor, coming)
            coming = next(waiting)
        steps += sum(isinstance(event, Progress) for event in executor.step())
    rate = steps / mean(STEPS) / clock.now()
    for key in executor.in_flight:
        executor.evict(key)
    return rate


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


def _step_wise(executor: Executor, arrivals: Sequence[Arrival], *, joining: bool = True) -> list[float]:
    """Who has come joins as soon as there is room, or else only an empty batch, and leaves when painted."""
    clock, waiting, seconds = Clock(), list(arrivals), list[float]()
    while len(seconds) < len(arrivals):
        if not executor.in_flight:
            clock.skip_to(waiting[0].at)
        if joining or not executor.in_flight:
            while waiting and waiting[0].at <= clock.now() and _fits(executor, waiting[0]):
                _admit(executor, waiting.pop(0))
        seconds += [clock.now() - arrivals[int(key)].at for key in _finished(executor)]
    return seconds


def _stock_calls(pipe: Any, largest: int, arrivals: Sequence[Arrival]) -> list[float]:
    """Who has come shares one call, which takes the most steps that one of them asks for."""
    clock, waiting, seconds = Clock(), list(arrivals), list[float]()
    while waiting:
        clock.skip_to(waiting[0].at)
        batch = [arrival for arrival in waiting[:largest] if arrival.at <= clock.now()]
        del waiting[: len(batch)]
        requests = [arrival.request for arrival in batch]
        paint_stock(pipe, requests, max(request.num_inference_steps for request in requests))
        seconds += [clock.now() - arrival.at for arrival in batch]
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
