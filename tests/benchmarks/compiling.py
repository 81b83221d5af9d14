"""What compiling a denoiser's blocks saves on this machine, and what it takes."""

# pyright: basic

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from limner.bot.settings import Settings
from limner.generators.cards.model_card import ModelCard
from limner.generators.device import pick_device
from limner.generators.diffusion.compiled_blocks import SIZES, CompiledBlocks, compiled_request, use_cache
from limner.generators.diffusion.formats import Format
from limner.generators.diffusion.generator import DiffusionGenerator
from tests.benchmarks.figures import ROUNDS, cores, show, spread
from tests.tiny_models import build_small_xl_pipeline


def main() -> None:
    """Print the table."""
    cores()
    with tempfile.TemporaryDirectory() as folder:
        use_cache(Path(folder) / "compiled")
        xl = ModelCard.read("SDXL-shaped, small", str(build_small_xl_pipeline(Path(folder) / "xl")))
        rows = [
            row
            for card in (Settings().default_card, xl)
            for dtype in ("float32", "bfloat16")
            for row in _rows(card, dtype)
        ]
    show(
        "steps of compiled blocks beside the same steps uncompiled",
        ("model", "format", "samples", "times as many steps per second", "seconds to compile", "from the cache folder"),
        rows,
        f"Medians of {ROUNDS} rounds, in each of which compiled and other steps take turns and the fastest count.",
    )


def _rows(card: ModelCard, dtype: str) -> list[tuple[str, ...]]:
    generators = [_load(card, dtype), _load(card, dtype)]
    return [(card.name, dtype, str(size), *_size(generators, card, size)) for size in SIZES]


def _load(card: ModelCard, dtype: str) -> tuple[DiffusionGenerator, CompiledBlocks]:
    generator = DiffusionGenerator._load(
        card, pick_device("auto"), Format(dtype), offload="none", max_batch=SIZES[-1], previews=0.0
    )
    blocks = CompiledBlocks(generator._pipelines.loaded)
    generator._running = blocks.running
    return generator, blocks


def _size(generators: list[tuple[DiffusionGenerator, CompiledBlocks]], card: ModelCard, size: int) -> tuple[str, ...]:
    """How many times as quick, and the seconds of the first step: from nothing, and with the cache folder filled."""
    seconds = list[float]()
    for generator, blocks in generators:
        torch._dynamo.reset()
        painting = generator._try_out(compiled_request(card, size))
        started = time.perf_counter()
        blocks.add(painting)
        seconds.append(time.perf_counter() - started)
        painting.close()
    generator, blocks = generators[0]
    parts = [blocks.measure(generator._try_out(compiled_request(card, size))) for _ in range(ROUNDS)]
    return spread([1 / part for part in parts]), *(f"{each:.1f}" for each in seconds)


if __name__ == "__main__":
    main()
