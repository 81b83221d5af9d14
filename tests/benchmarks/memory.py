"""What the bot and a worker hold in memory, beside a process that does nothing but run the stock pipeline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from pathlib import Path

import psutil

from limner.bot.settings.model_sources import PRETRAINED
from tests.benchmarks.figures import fresh_studio, show
from tests.discord_records import CHANNEL, until
from tests.tiny_models import build_small_xl_pipeline

PICTURES = 8
STOCK = """
import sys, psutil, torch
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], dtype=torch.float32, use_safetensors=True)
pipe("a red cat", num_inference_steps=4)
print(psutil.Process().memory_info().rss)
"""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        build_small_xl_pipeline(Path(folder))
        rows = [_row("doodle", PRETRAINED / "doodle", ""), _row("doodle, with SmolLM2", PRETRAINED / "doodle", "on")]
        rows.append(_row("SDXL-shaped", Path(folder), ""))
    show(
        f"Resident memory after {PICTURES} pictures, MiB",
        ("model", "bot", "worker", "stock pipeline alone", "worker / stock"),
        rows,
        "One run each; a worker of the main path also holds the language model.",
    )


def _row(name: str, model: Path, expand: str) -> tuple[str, ...]:
    bot, worker = asyncio.run(_limner(model, "transformers" if expand else "off"))
    stock = int(subprocess.run([sys.executable, "-c", STOCK, model], stdout=subprocess.PIPE, check=True).stdout)
    return name, *(f"{size / 2**20:.0f}" for size in (bot, worker, stock)), f"{worker / stock:.2f}"


async def _limner(model: Path, expander: str) -> tuple[int, int]:
    async with fresh_studio(models=f"model={model}", expander=expander) as studio:
        await studio.start(stderr=DEVNULL)
        for seed in range(PICTURES):
            await studio.server.slash(7, CHANNEL, "imagine", prompt="a red cat", seed=seed, steps=4)
        posts = studio.server.visible()
        await until(lambda: len(posts) == PICTURES and all(post.files for post in posts), 120, "every picture")
        bot = next(process for process in studio.processes() if process not in studio.workers())
        return _resident(bot), sum(map(_resident, studio.workers()))


def _resident(process: psutil.Process) -> int:
    return process.memory_info().rss


if __name__ == "__main__":
    main()
