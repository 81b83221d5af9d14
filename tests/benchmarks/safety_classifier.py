"""What classification costs: milliseconds a picture, and pictures posted per second with the classifier on and off."""

from __future__ import annotations

import asyncio
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from pathlib import Path
from statistics import median

from PIL import Image

from limner.bot.storage.pictures.perceptual_hash import fingerprint
from limner.generators.vision.open_nsfw import load_classifier
from tests.benchmarks.figures import NO_LIMITS, ROUNDS, show, spread
from tests.benchmarks.throughput import USERS, paint_all
from tests.discord_server import DiscordServer
from tests.studio import Studio, open_studio

LOOKS = 20
SIDES = (128, 1024)


def main() -> None:
    """Print both tables."""
    _show_looks()
    rates = asyncio.run(_measure())
    ratio = median(on / off for on, off in zip(*rates.values(), strict=True))
    show(
        f"{USERS} users, one picture each",
        ("the classifier", "pictures per second"),
        [(name, spread(values)) for name, values in rates.items()],
        f"Median (lowest to highest) of {ROUNDS} rounds in turn. With the classifier on it is {ratio:.2f} of the rate.",
    )


def _show_looks() -> None:
    classifier = load_classifier("opennsfw", model="", unwanted=(), wanted=())
    parts: dict[str, Callable[[Image.Image], object]] = {"open_nsfw": classifier.look, "the likeness": fingerprint}
    rows: list[tuple[str, ...]] = []
    for side in SIDES:
        picture = Image.effect_noise((side, side), 80).convert("RGB")
        rows += [
            (f"{side}x{side}, {name}", spread(_milliseconds(work, picture), "{:.1f}")) for name, work in parts.items()
        ]
    show("One picture on one thread of the CPU", ("", "milliseconds"), rows, f"Median (lowest to highest) of {LOOKS}.")


def _milliseconds(work: Callable[[Image.Image], object], picture: Image.Image) -> list[float]:
    work(picture)  # loads what it needs
    taken: list[float] = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        work(picture)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


async def _measure() -> dict[str, list[float]]:
    """Rounds in turn, so that a busy moment of the machine meets both; nobody paints for the other meanwhile."""
    rates: dict[str, list[float]] = {"on": [], "off": []}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            DiscordServer(channels=USERS).open() as one,
            DiscordServer(channels=USERS).open() as other,
            open_studio(Path(folder) / "on", one, **_settings("default")) as on,
            open_studio(Path(folder) / "off", other, **_settings("off")) as off,
        ):
            for studio in (on, off):
                await _warm(studio)
            for _ in range(ROUNDS):
                rates["on"].append(await paint_all(on, USERS))
                rates["off"].append(await paint_all(off, USERS))
    return rates


async def _warm(studio: Studio) -> None:
    studio.environment.clear()
    await studio.start(stderr=DEVNULL)
    await paint_all(studio, 1)  # loads the model


def _settings(classifier: str) -> dict[str, object]:
    return {**NO_LIMITS, "expander": "off", "previews": "off", "log_level": "ERROR", "safety_classifier": classifier}


if __name__ == "__main__":
    main()
