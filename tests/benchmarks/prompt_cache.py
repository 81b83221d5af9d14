"""What a request costs whose prompt was encoded before, beside one with other words: processor time of one thread."""

# pyright: basic

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from limner.bot.settings import Settings
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.requests import GenerationRequest
from tests.benchmarks.figures import show, spread
from tests.benchmarks.skipping import held_out_prompts, request_of
from tests.tiny_models import build_small_xl_pipeline

PAINTED = 3


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        xl = ModelCard.read("SDXL-shaped, small", str(build_small_xl_pipeline(Path(folder) / "xl")))
        rows = [_row(card) for card in (Settings().default_card, xl)]
    show(
        "processor milliseconds to admit a request, whose prompt is encoded then",
        ("model", "other words", "words of before", "the painting after it"),
        rows,
        f"Medians of 48 prompts, each given twice, and of {PAINTED} pictures.",
    )


def _row(card: ModelCard) -> tuple[str, ...]:
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=1)
    requests = [request_of(card, prompt, seed) for seed, prompt in enumerate(held_out_prompts())]
    first, again = ([_admitted(generator, request) for request in requests] for _ in range(2))
    painted = [_painted(generator, request) for request in requests[:PAINTED]]
    return card.name, *(spread(times) for times in (first, again, painted))


def _admitted(generator: DiffusionGenerator, request: GenerationRequest) -> float:
    started = time.process_time()
    generator.admit("a", request)
    taken = time.process_time() - started
    generator.evict("a")
    return 1000 * taken


def _painted(generator: DiffusionGenerator, request: GenerationRequest) -> float:
    generator.admit("a", request)
    started = time.process_time()
    while not any(isinstance(event, Finished) for event in generator.step()):
        pass
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
