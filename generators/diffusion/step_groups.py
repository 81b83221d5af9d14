"""Which requests take the next step, and which of them share a denoiser call."""

# pyright: basic

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.batch_size import BatchSize
from limner.generators.diffusion.flight import Flight
from limner.generators.diffusion.stacked_calls import Call

PASSED_OVER = 8
"""A request skipped for so many steps is stepped next."""
LEAST_SHARE = 0.75
"""Of the largest picture's pixels in a call that takes several sizes: smaller ones are padded, which costs time."""


def next_flights(flights: Iterable[Flight], batch: BatchSize, card: ModelCard) -> list[Flight]:
    """The flights that take the next step: those nearest to their end, as many as save time together.

    Those skipped for `PASSED_OVER` steps come before all others, the longest skipped first. So whatever comes
    meanwhile, a request of any size waits at most so many steps, and one more for each request beside it.
    """
    waiting = [flight for flight in flights if flight.waiting is not None and not flight.decoding]
    waiting.sort(key=lambda flight: (-max(flight.passed_over, PASSED_OVER - 1), flight.pixels_left))
    room = batch.choose(_alike(card, waiting))
    chosen: list[Flight] = []
    for flight in waiting:
        if chosen and flight.request.pixels > room:
            flight.passed_over += 1
        else:
            chosen.append(flight)
            room -= flight.request.pixels
            flight.passed_over = 0
    return chosen


def groups_of(flights: Iterable[Flight]) -> list[list[Flight]]:
    """The flights grouped by calls that may be made as one."""
    groups: dict[Hashable, list[Flight]] = {}
    for flight in flights:
        if call := flight.waiting:
            key = flight.request.parts_key if call.mixes_sizes else flight.request.batch_key
            groups.setdefault((key, call.shape), []).append(flight)
    return [some for group in groups.values() for some in _alike_in_size(group)]


def calls_of(flights: Sequence[Flight]) -> tuple[list[Call], int]:
    """The calls that the flights wait for, and the pixels of the largest row, which the others are padded to."""
    return [call for flight in flights if (call := flight.take())], max(map(_area, flights))


@contextmanager
def sharing_time(flights: Sequence[Flight]) -> Iterator[None]:
    """Add the time of this block to the flights, in proportion to their pixels."""
    started = time.perf_counter()
    yield
    share = (time.perf_counter() - started) / sum(flight.request.pixels for flight in flights)
    for flight in flights:
        flight.busy += share * flight.request.pixels


def _alike_in_size(flights: Sequence[Flight]) -> Iterator[list[Flight]]:
    """Groups in which no picture is smaller than `LEAST_SHARE` of the largest."""
    group: list[Flight] = []
    for flight in sorted(flights, key=_area, reverse=True):
        if group and _area(flight) < LEAST_SHARE * _area(group[0]):
            yield group
            group = []
        group.append(flight)
    yield group


def _area(flight: Flight) -> int:
    return flight.request.width * flight.request.height


def _alike(card: ModelCard, flights: Sequence[Flight]) -> int:
    """The pixels of all flights if they have the model's own size and may share a call; otherwise 0."""
    requests = [flight.request for flight in flights]
    keys = {request.batch_key for request in requests}
    own = len(keys) == 1 and (requests[0].width, requests[0].height) == (card.width, card.height)
    return sum(request.pixels for request in requests) if own else 0
