"""16 waiting requests: the executor beside the stock pipeline, one at a time and in batches of the best fixed size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from limner.bot.settings import Settings
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.stacked_calls import Call
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest
from tests.benchmarks.figures import cores, show, spread
from tests.tiny_models import build_small_xl_pipeline, stock_pipeline

WAITING, ROUNDS = 16, 5
BATCHES = (1, 2, 4, 8, 16)


def main() -> None:
    """Print a table for each model."""
    with tempfile.TemporaryDirectory() as folder:
        build_small_xl_pipeline(Path(folder))
        xl = ModelCard.read("xl", folder, num_inference_steps=8, guidance_scale=5.0)
        for card in (Settings().default_card, xl):
            _measure(card)


def _measure(card: ModelCard) -> None:
    requests = [_request(card, seed) for seed in range(WAITING)]
    pipe = open_stock(card)
    executor = Executor({card.name: card}, max_batch=Settings().most_samples)
    _paint(executor, requests[:1])  # loads the model
    _paint(executor, requests)  # and so many at once let its calls grow
    sizes = {size: _stock(pipe, requests, size) for size in BATCHES}
    best = min(sizes, key=lambda size: sizes[size])
    ways: dict[str, Callable[[], float]] = {
        "the executor": lambda: _paint(executor, requests),
        "the stock pipeline, one at a time": lambda: _stock(pipe, requests, 1),
        f"the stock pipeline, in batches of {best} (the best)": lambda: _stock(pipe, requests, best),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(WAITING / way())
    with _timed_calls() as seconds:
        whole = _paint(executor, requests)
    outside = 1 - sum(seconds) / whole
    ours, alone, ceiling = rates.values()
    show(
        f"{card.name}: {WAITING} requests of {card.width}x{card.height}, {card.num_inference_steps} steps, {_device()}",
        ("", "pictures per second"),
        [(name, spread(values)) for name, values in rates.items()],
        f"Median (lowest to highest) of {ROUNDS} rounds in turn. The executor does {_ratio(ours, alone):.2f} of one at "
        f"a time and {_ratio(ours, ceiling):.2f} of the best batch. {outside:.1%} of its time is outside of calls of "
        "the denoiser and the VAE.",
    )
    executor.close()


@contextmanager
def _timed_calls() -> Generator[list[float]]:
    """The seconds of each call of a model that the executor makes in this block."""
    make, seconds = Call.make, list[float]()

    def timed(self: Call) -> Any:
        started = time.perf_counter()
        try:
            return make(self)
        finally:
            seconds.append(time.perf_counter() - started)

    Call.make = timed
    try:
        yield seconds
    finally:
        Call.make = make


def open_stock(card: ModelCard) -> Any:
    """The model as diffusers loads it, on the best device."""
    pipe: Any = stock_pipeline(Path(card.source))
    return pipe.to(_device())


def paint_stock(pipe: Any, requests: Sequence[GenerationRequest], steps: int) -> None:
    """All of them in one call of the stock pipeline, which takes one size and one number of steps."""
    pipe(
        [request.prompt for request in requests],
        width=requests[0].width,
        height=requests[0].height,
        num_inference_steps=steps,
        guidance_scale=requests[0].guidance_scale,
        generator=[torch.Generator().manual_seed(request.seed) for request in requests],
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def _request(card: ModelCard, seed: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=f"a red cat and {seed} birds",
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=card.num_inference_steps,
        guidance_scale=card.guidance_scale,
        seed=seed,
    )


def _paint(executor: Executor, requests: Sequence[GenerationRequest]) -> float:
    """Seconds until all are painted; who does not fit yet waits, as in the queue."""
    started, waiting, painted = time.perf_counter(), list(enumerate(requests)), 0
    while painted < len(requests):
        while waiting and executor.capacity(waiting[0][1].model) >= waiting[0][1].pixels:
            key, request = waiting.pop(0)
            executor.admit(str(key), request)
        painted += sum(isinstance(event, Finished) for event in executor.step())
    return time.perf_counter() - started


def _stock(pipe: Any, requests: Sequence[GenerationRequest], size: int) -> float:
    started = time.perf_counter()
    for part in (requests[i : i + size] for i in range(0, len(requests), size)):
        paint_stock(pipe, part, part[0].num_inference_steps)
    return time.perf_counter() - started


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    cores()
    main()
