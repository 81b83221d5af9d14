"""Pictures per second of the models that people install, by users and size, beside the stock pipeline: `make gpu`."""

# pyright: basic

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache

from limner.bot.settings import Settings
from limner.generators.base import Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.device import pick_device, title_of
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.pipelines import Pipelines, pick_dtype
from limner.generators.errors import OutOfMemory
from limner.generators.requests import GenerationRequest
from tests.benchmarks.executor import paint_stock
from tests.benchmarks.gpu_models import BUILDERS, build
from tests.tiny_models import stock_pipeline

SECONDS = 300.0
"""How long all measurements may take; what would take longer is left out."""
STEPS = 10
USERS = (1, 4, 16)
WAYS: dict[str, dict[str, Any]] = {
    "teacache": {"skipping": SkipRule.TEACACHE},
    "guided 0-0.6": {"guided": (0, 0.6)},
}
DATASET_C = ((512, 20, 0.15), (768, 20, 0.25), (1024, 25, 0.45), (1536, 35, 0.15))
"""Sides, steps and weights of the mix that vLLM-Omni serves Qwen-Image with (its Dataset C)."""
MIXED, MIXED_MODEL = 16, "SDXL"
"""Requests of the mix, and the model that paints them."""
COMPILING = 0.4
"""The part of a model's time that is kept for compiling it."""
COLUMNS = ("model", "side", "users", "one by one", "best batch", "Limner", *WAYS, "compiled")


@dataclass(frozen=True)
class Machine:
    """Where it is measured: at full size on an accelerator, with tiny shapes on a CPU."""

    device: torch.device
    dtype: torch.dtype
    full: bool

    def side(self, full: int) -> int:
        """The side of a picture that stands for one of ``full`` pixels."""
        return full if self.full else full // 8


class Clock:
    """The time that one model may take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    def pictures(self, count: int, each: float, paint: Callable[[], None]) -> float | None:
        """Pictures per second; None where so many of ``each`` seconds would take too long, or do not fit."""
        if time.perf_counter() + count * each > self._end:
            return None
        started = time.perf_counter()
        try:
            paint()
        except (torch.OutOfMemoryError, OutOfMemory):
            return None
        return count / (time.perf_counter() - started)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.perf_counter()


def main() -> None:
    """Print a Markdown table for docs/benchmarks.md."""
    device = pick_device("auto")
    torch.set_num_threads(os.cpu_count() or 1)
    here = Machine(device, pick_dtype("auto", device), device.type != "cpu")
    if not here.full:
        print("No GPU: tiny shapes on the CPU, an eighth of the sides. These figures say nothing about a GPU.")
    print(f"\nPictures per second on {title_of(device)}, {STEPS} steps, {str(here.dtype).removeprefix('torch.')}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    everything, shares = Clock(SECONDS), 2 + len(BUILDERS)  # SDXL has two: it paints the mix too
    for name in ("doodle", *BUILDERS):
        share = everything.left / shares
        shares -= 2 if name == MIXED_MODEL else 1
        with tempfile.TemporaryDirectory() as folder:
            for row in _model(name, Path(folder), here, share):
                print(f"| {' | '.join(row)} |", flush=True)
        clear_device_cache(garbage_collection=True)


def _model(name: str, folder: Path, here: Machine, seconds: float) -> Iterator[Sequence[str]]:
    """The rows of one model, by side and users and compiled, and of the mix, which take so many seconds each."""
    pipe: Any
    clock = Clock((1 - COMPILING) * seconds)
    if name == "doodle":
        card = Settings().default_card
        pipe, sides = stock_pipeline(Path(card.source)).to(here.device, here.dtype), [card.width]
    else:
        card = ModelCard(name=name, source=name, guidance_scale=3.5 if name == "FLUX.1" else 5.0)
        pipe, sides = build(name, folder, here.device, here.dtype, full=here.full), [here.side(512), here.side(1024)]
    for side in sides:
        card = replace(card, width=side, height=side)
        yield from _users(card, pipe, here, clock)
    yield from _compiled(card, pipe, here, Clock(COMPILING * seconds))
    if name == MIXED_MODEL:
        yield _mix(card, pipe, here, Clock(seconds))


def _users(card: ModelCard, pipe: Any, here: Machine, clock: Clock) -> Iterator[Sequence[str]]:
    """Pictures per second for 1, 4 and 16 users who ask for one picture each."""
    requests = [_request(card, seed, card.width, STEPS) for seed in range(USERS[-1])]
    paint_stock(pipe, requests[:1], STEPS)  # libraries initialise, and kernels are chosen
    alone = clock.pictures(1, 0, lambda: paint_stock(pipe, requests[:1], STEPS))
    each = 1 / alone if alone else clock.left
    batches = [clock.pictures(size, each, partial(paint_stock, pipe, requests[:size], STEPS)) for size in USERS[1:]]
    best = max(filter(None, (alone, *batches)), default=None)
    ours = {users: [_paced(card, pipe, here, clock, requests[:users], each, way) for way in _ways()] for users in USERS}
    for users in USERS:
        rates = (alone, best, *ours[users], None)
        yield (card.name, str(card.width), str(users), *map(_said, rates))


def _ways() -> list[dict[str, Any]]:
    return [{}, *WAYS.values()]


def _paced(
    card: ModelCard,
    pipe: Any,
    here: Machine,
    clock: Clock,
    requests: Sequence[GenerationRequest],
    each: float,
    way: dict[str, Any],
) -> float | None:
    """Limner's pictures per second, with a shortcut; None where there was no time, or the family takes no such."""
    if way and not Pipelines(pipe, card).steers:
        return None
    pixels = sum(request.pixels for request in requests)
    ladder = Ladder(pipe, pixels, can_offload=False)
    aside = here.device if here.device.type == "cuda" else None
    generator = DiffusionGenerator(card, pipe, ladder=ladder, aside=aside)
    try:
        return clock.pictures(len(requests), each, lambda: _paint(generator, [replace(one, **way) for one in requests]))
    finally:
        for number in range(len(requests)):
            generator.evict(str(number))


def _compiled(card: ModelCard, pipe: Any, here: Machine, clock: Clock) -> Iterator[Sequence[str]]:
    """Limner's pictures per second after diffusers' regional compilation; the compiling itself is not counted."""
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    plain = {module: module._compiled_call_impl for module in denoiser.modules()}
    denoiser.compile_repeated_blocks(dynamic=False)
    for users in USERS[:2]:
        requests = [_request(card, seed, card.width, STEPS) for seed in range(users)]
        if _paced(card, pipe, here, clock, requests, 0, {}) is None:
            break
        rate = _paced(card, pipe, here, clock, requests, 0, {})
        yield (card.name, str(card.width), str(users), *([""] * (len(COLUMNS) - 4)), _said(rate))
    for module, call in plain.items():
        module._compiled_call_impl = call


def _mix(card: ModelCard, pipe: Any, here: Machine, clock: Clock) -> Sequence[str]:
    """Requests of many sizes and steps that come at once: pictures per second."""
    dice = random.Random(0)
    drawn = dice.choices(DATASET_C, [weight for *_, weight in DATASET_C], k=MIXED)
    requests = [_request(card, seed, here.side(side), steps) for seed, (side, steps, _weight) in enumerate(drawn)]
    started = time.perf_counter()
    paint_stock(pipe, requests[:1], requests[0].num_inference_steps)
    work = requests[0].pixels * requests[0].num_inference_steps
    each = (time.perf_counter() - started) * mean(one.pixels * one.num_inference_steps for one in requests) / work

    def one_by_one() -> None:
        for request in requests:
            paint_stock(pipe, [request], request.num_inference_steps)

    alone = clock.pictures(MIXED, each, one_by_one)
    ours = [_paced(card, pipe, here, clock, requests, each, way) for way in _ways()]
    return (card.name, "Dataset C", str(MIXED), *map(_said, (alone, None, *ours, None)))


def _paint(generator: DiffusionGenerator, requests: Sequence[GenerationRequest]) -> None:
    for number, request in enumerate(requests):
        generator.admit(str(number), request)
    painted = 0
    while painted < len(requests):
        for event in generator.step():
            if isinstance(event, Failed):
                raise event.error
            painted += isinstance(event, Finished)


def _request(card: ModelCard, seed: int, side: int, steps: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=f"a red cat and {seed} birds",
        model=card.name,
        width=side,
        height=side,
        num_inference_steps=steps,
        guidance_scale=card.guidance_scale,
        seed=seed,
    )


def _said(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3g}"


if __name__ == "__main__":
    main()
