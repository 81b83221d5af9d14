"""Weights in fewer bits with doodle: memory, pictures per second, and how near the pictures are."""

# pyright: basic

from __future__ import annotations

from dataclasses import replace

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.cards.card_schema import QUANTIZED
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.memory import weights
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import ROUNDS, cores, show, spread
from tests.benchmarks.skipping import (
    NEARNESS,
    STEPS,
    TOGETHER,
    held_out_prompts,
    nearness,
    paint,
    request_of,
)


def main() -> None:
    """Print the table."""
    cores()
    prompts = held_out_prompts()
    card = ModelCard.read("doodle", str(PRETRAINED / "doodle"))
    ways: dict[str, tuple[ModelCard, str]] = {"as they are": (card, "float32"), "bfloat16": (card, "bfloat16")}
    ways |= {kind: (replace(card, quantize=kind), "float32") for kind in QUANTIZED}
    generators = [
        DiffusionGenerator.load(one, device="cpu", dtype=dtype, max_batch=TOGETHER) for one, dtype in ways.values()
    ]
    requests = [request_of(card, prompt, seed) for seed, prompt in enumerate(prompts)]
    for generator in generators:
        paint(generator, requests[:TOGETHER])
    rounds = [[paint(generator, requests) for generator in generators] for _ in range(ROUNDS)]
    reader = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    rows = [
        (
            name,
            f"{sum(weights(generators[number]._pipelines.loaded)) / 1e6:.1f}",
            spread([each[0].seconds / each[number].seconds for each in rounds]),
            *nearness(painted, rounds[0][0], reader, prompts),
        )
        for number, name in enumerate(ways)
        for painted in [rounds[0][number]]
    ]
    show(
        f"doodle: {len(prompts)} held-out prompts, {STEPS} steps, batches of {TOGETHER}",
        ("weights", "MB", "times as many pictures per second", *NEARNESS),
        rows,
        f"Medians; pictures per second of {ROUNDS} rounds in turn. MB: of all parts, the autoencoder too.",
    )


if __name__ == "__main__":
    main()
