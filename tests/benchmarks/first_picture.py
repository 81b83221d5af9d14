"""How soon after a start the first picture is posted, in a new data folder and in one that was used before."""

from __future__ import annotations

import asyncio
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path

from limner.generators.language.bundled_model import is_converted
from tests.benchmarks.figures import ROUNDS, show, spread
from tests.discord_records import CHANNEL, until
from tests.discord_server import DiscordServer
from tests.studio import open_studio

IN_LOG = {
    "worker_started": "the worker runs",
    "model_loaded": "the model is loaded",
    "batch_stepped": "the first step is taken",
    "job_succeeded": "the picture is painted",
}
"""What is read in the log, and how the table names it."""
ONLINE, POSTED = "the bot is online", "the picture is posted"


def main() -> None:
    """Print the table."""
    starts = asyncio.run(_measure())
    rows = [
        (phase, *(spread([one[phase] for one in starts[name]], "{:.1f}") for name in starts))
        for phase in sorted(starts["new"][0], key=starts["new"][0].__getitem__)
    ]
    show(
        "From the start of `limner run` to the first picture; /imagine comes as soon as the bot is online",
        ("seconds until", "in a new folder", "in the same one, later"),
        rows,
        f"Median (lowest to highest) of {ROUNDS} starts each, with the default settings.",
    )


async def _measure() -> Mapping[str, list[Mapping[str, float]]]:
    starts: dict[str, list[Mapping[str, float]]] = {"new": [], "used": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            async with DiscordServer(judges=False).open() as server:
                for name in starts:
                    starts[name].append(await _start(Path(folder), server))
    return starts


async def _start(folder: Path, server: DiscordServer) -> Mapping[str, float]:
    """Seconds from the start of the process to each phase."""
    async with open_studio(folder, server, log_level="DEBUG") as studio:
        studio.environment.clear()
        began = time.perf_counter()
        process = await studio.start(stderr=PIPE)
        reached = {ONLINE: time.perf_counter() - began}
        reading = asyncio.create_task(_read_log(process, began, reached))
        await until(lambda: server.commands, 10)
        asked = await server.slash(7, CHANNEL, "imagine", prompt="a red fox in the snow")
        post = asked.message
        assert post
        await until(lambda: post.files, 120, "the first picture")
        reached[POSTED] = time.perf_counter() - began
        await until(lambda: is_converted(folder / "cache"), 120, "the language model is converted")
        await studio.stop()
        await reading
        return reached


async def _read_log(process: asyncio.subprocess.Process, began: float, reached: dict[str, float]) -> None:
    assert process.stderr
    async for line in process.stderr:
        for event, phase in IN_LOG.items():
            if event in line.decode():
                reached.setdefault(phase, time.perf_counter() - began)


if __name__ == "__main__":
    main()
