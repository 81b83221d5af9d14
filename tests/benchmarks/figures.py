"""What the benchmarks share: a Limner to measure, and a table of medians with their spread."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from limner.bot.settings import Settings
from tests.discord_server import DiscordServer
from tests.studio import Studio, open_studio
from tests.tiny_models import stock_pipeline

ROUNDS = 3
NO_LIMITS = {"max_jobs_per_user": 10_000, "max_jobs_per_guild": 10_000}


@asynccontextmanager
async def fresh_studio(*, channels: int = 1, **settings: Any) -> AsyncGenerator[Studio]:
    """`limner run` with the shipped model, without the language model, in a folder that goes away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**NO_LIMITS, "expander": "off", "previews": "off", "log_level": "ERROR"} | settings
        async with (
            DiscordServer(channels=channels, judges=False).open() as server,
            open_studio(Path(folder), server, **settings) as studio,
        ):
            studio.environment.clear()
            yield studio


def cores() -> None:
    """Let torch use all of them, as the worker does; the tests' models ask for one."""
    torch.set_num_threads(os.cpu_count() or 1)


def stock() -> Callable[[str], float]:
    """The shipped model as diffusers itself runs it, on all cores and once used already; returns its seconds."""
    cores()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    card = Settings().default_card
    pipe: Any = stock_pipeline(Path(card.source))

    def paint(idea: str) -> float:
        started = time.perf_counter()
        pipe(
            idea,
            width=card.width,
            height=card.height,
            num_inference_steps=card.num_inference_steps,
            guidance_scale=card.guidance_scale,
        )
        return time.perf_counter() - started

    paint("a red cat")
    return paint


def share(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, round(part * (len(values) - 1)))]


def spread(values: Sequence[float], form: str = "{:.3f}") -> str:
    """Median, and from the lowest to the highest."""
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} to {high})"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
    """Print one small table; ``note`` says how it was measured."""
    table = Table(title=title, caption=note, caption_justify="left", title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
