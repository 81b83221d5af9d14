# pyright: basic, reportArgumentType=false
"""Requests of several sizes take turns in a generator, so that no size starves."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.batch_size import BatchSize
from limner.generators.diffusion.step_groups import PASSED_OVER, next_flights
from limner.generators.requests import GenerationRequest
from tests.tiny_models import tiny_request

SIDES = [16, 32, 64]
MOST = 24
"""Requests in flight."""


@dataclass
class Waiting:
    """What is asked of a flight to choose it."""

    request: GenerationRequest
    steps: int
    waiting: Any = field(default_factory=object)
    decoding: bool = False
    passed_over: int = 0
    last: int = 0

    @property
    def pixels_left(self) -> int:
        return self.request.pixels * self.steps


def request(side: int, samples: int) -> GenerationRequest:
    return tiny_request(width=side, height=side, num_images_per_prompt=samples)


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(SIDES), st.integers(1, 2), st.integers(1, 30)), min_size=4, max_size=12
)


@effort(max_examples=25)
@given(arrivals=ARRIVALS, room=st.sampled_from([16, 32, 64]))
def test_no_size_starves(arrivals: list[tuple[int, int, int, int]], room: int):
    """Requests come in such an order for ever; the next step of each is never further away than the bound."""
    card = ModelCard(name="tiny", source="", width=room, height=room)
    batch, flights = BatchSize(card, room * room, 1), list[Waiting]()
    for tick in range(120):
        pause, side, samples, steps = arrivals[tick % len(arrivals)]
        for _ in range(3 - pause):
            if len(flights) < MOST:
                flights.append(Waiting(request(side, samples), steps, last=tick))
        chosen: list[Any] = next_flights(flights, batch, card)
        for flight in chosen:
            assert tick - flight.last <= PASSED_OVER + MOST
            flight.steps, flight.last = flight.steps - 1, tick
        assert all(tick - flight.last <= PASSED_OVER + MOST for flight in flights)
        flights = [flight for flight in flights if flight.steps]
