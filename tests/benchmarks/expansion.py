"""What a description costs: by each policy that this machine can follow for a language model beside the image model."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from limner.bot.settings import Settings
from limner.generators.device import pick_device
from limner.generators.executor import Executor
from limner.generators.language.expanders import TransformersExpander
from tests.benchmarks.figures import show, spread
from tests.tiny_models import tiny_request

IDEAS = ("a red fox in the snow", "an old sailor", "a bakery at night", "two robots playing cards", "a mountain lake")
WORDS = 20
MOVED = re.compile(r"expander_swapped seconds=([0-9.]+)")


class Moves(logging.Handler):
    """Hears how long the image model's weights and the language model's took to change places."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if moved := MOVED.search(record.getMessage()):
            self.seconds.append(float(moved[1]))


def main() -> None:
    """Print the table; LIMNER_EXPANDER_MODEL names another language model than the bundled one."""
    torch.set_num_threads(os.cpu_count() or 1)
    settings = Settings.load()
    policies = ["cpu"]
    if settings.expander_model and pick_device(settings.devices[0]).type != "cpu":
        policies += ["resident", "swap"]
    rows = [asyncio.run(_measure(settings, policy)) for policy in policies]
    show(
        "One description, beside an idle painter",
        ("policy", "seconds", "of them the change of places"),
        rows,
        f"Median (lowest to highest) of {len(IDEAS)} ideas and {WORDS} words, "
        f"{settings.expander_model or 'SmolLM2-135M'} beside {settings.default_card.name} on "
        f"{pick_device(settings.devices[0])}. The other policies need an accelerator and a language model of your own "
        "in LIMNER_EXPANDER_MODEL.",
    )


async def _measure(settings: Settings, policy: str) -> tuple[str, str, str]:
    card = settings.default_card
    executor = Executor(settings.cards, device=settings.devices[0], dtype=settings.dtype)
    executor.admit("warm", tiny_request(model=card.name, width=card.width, height=card.height))
    executor.evict("warm")
    moves = Moves()
    logger = logging.getLogger("limner.generators.language.expanders")
    logger.addHandler(moves)
    logger.setLevel(logging.DEBUG)
    with tempfile.TemporaryDirectory() as cache:
        expander = TransformersExpander.create(
            model=settings.expander_model,
            url="",
            api_key="",
            timeout=300,
            cache=Path(cache),
            beside=executor.neighbour(card.name, policy),
        )
        expander.loading_seconds = 300.0
        await expander.expand("a warm-up", locale="en-US", seed=0, max_words=1)
        moves.seconds.clear()
        seconds: list[float] = []
        for idea in IDEAS:
            began = time.perf_counter()
            await expander.expand(idea, locale="en-US", seed=1, max_words=WORDS)
            seconds.append(time.perf_counter() - began)
        await expander.close()
    executor.close()
    logger.removeHandler(moves)
    return policy, spread(seconds), f"{median(moves.seconds):.3f}" if moves.seconds else "-"


if __name__ == "__main__":
    main()
