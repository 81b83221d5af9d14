"""Checks of this machine: data folder, database, styles, devices, clock and workers."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from limner.bot.cli.doctor.check import Check
from limner.bot.errors import SetupError, StorageFull
from limner.bot.quantities import decimal
from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.storage.tables.worker_tables import WorkerState
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas, ngettext
from limner.bot.worker.devices import ask_generators

GIB = 2**30


LITTLE_DISK, NO_DISK = 2 * GIB, GIB // 10


MOST_SKEW = 2.0
"""Seconds of clock difference that are not reported."""


DRIVER = Path("/proc/driver/nvidia/version")


CUDA_BUILD = N_(
    "install the CUDA build of torch into this environment: the page Get started of pytorch.org has the pip command, "
    "and --force-reinstall replaces the CPU build"
)


def data_folder(folder: Path) -> Check:
    """Whether the data folder can be written, and how much is free."""
    for written in (folder, folder / "images"):
        try:
            written.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=written):
                pass
        except OSError as error:
            what = _("the folder {written} cannot be written ({strerror})", written=written, strerror=error.strerror)
            return Check("fail", what, _("give the user that runs Limner the right, or name another with LIMNER_DATA"))
    free = shutil.disk_usage(folder).free
    what = _("data folder {folder}, {size} GiB free", folder=folder.resolve(), size=decimal(free / GIB, 1))
    if free >= LITTLE_DISK:
        return Check("ok", what)
    return Check("warn" if free >= NO_DISK else "fail", what, _("free some space, or move the folder with LIMNER_DATA"))


async def database_state(settings: Settings) -> Check:
    """Whether the database can be opened and is up to date."""
    try:
        await migrate.check(settings.url)
    except SetupError as error:
        return Check("fail", str(error), "limner migrate" if "limner migrate" in str(error) else "LIMNER_DATABASE_URL")
    return Check("ok", _("the database is up to date"))


def styles(settings: Settings) -> Iterator[Check]:
    """The style presets, and each fault in the operator's file."""
    styles = Styles.load(settings.styles)
    yield Check("ok", f"{len(styles.presets)} styles")
    for problem in styles.problems:
        yield Check("fail", problem, _("edit {styles}, or LIMNER_STYLES", styles=settings.styles))


async def devices(settings: Settings) -> AsyncIterator[Check]:
    """The devices that torch finds, and how the language model and the image model share them."""
    card = settings.default_card
    image_model = {"device": settings.devices[0], "source": card.source, "dtype": settings.dtype}
    image_model |= {"offload": settings.offload, "wanted": settings.expander_device}
    found = await ask_generators(
        "language.placement", json.dumps({"image_model": image_model, "language_model": settings.expander_model})
    )
    if found is None:
        yield Check("fail", _("torch cannot be loaded"), "pip install -c constraints.txt -e .")
        return
    for device in settings.devices:
        yield device_state(device, found)
    if settings.expander == "transformers" and "placement" in found:
        yield Check("ok", found["placement"])


def device_state(wanted: str, torch: dict[str, Any]) -> Check:
    """Whether torch finds a device of the setting `device`."""
    kind, _colon, number = wanted.partition(":")
    there = {"cuda": bool(torch["cuda"]), "mps": torch["mps"], "cpu": True, "auto": True}
    if not there.get(kind) or (kind == "cuda" and int(number or 0) >= len(torch["cuda"])):
        mend = _(CUDA_BUILD) if kind == "cuda" and not torch["cuda"] and _has_nvidia_card() else "LIMNER_DEVICE=auto"
        return Check("fail", _("torch {torch} finds no device {wanted}", torch=torch["version"], wanted=wanted), mend)
    if wanted == "auto" and not torch["cuda"] and _has_nvidia_card():
        what = _(
            "torch {torch} cannot use this machine's NVIDIA card, so the models run on the CPU", torch=torch["version"]
        )
        return Check("warn", what, _(CUDA_BUILD))
    best = ", ".join(torch["cuda"]) or (
        _("Apple GPU") if torch["mps"] else _("CPU: slow with anything but small models")
    )
    what = {"cpu": "CPU", "cuda": torch["cuda"][int(number or 0)] if torch["cuda"] else ""}.get(kind, best)
    return Check("ok", _("torch {torch}, device {wanted}: {what}", torch=torch["version"], wanted=wanted, what=what))


def _has_nvidia_card() -> bool:
    """Whether NVIDIA's driver is installed, independently of torch's build."""
    return DRIVER.exists() or shutil.which("nvidia-smi") is not None


async def clock(settings: Settings) -> Check | None:
    """The difference between this machine's clock and the database server's; None where they are the same."""
    database = Database(settings.url)
    before, theirs, after = time.time(), await database.now(), time.time()
    await database.close()
    off = theirs - (before + after) / 2
    if abs(off) - (after - before) / 2 <= MOST_SKEW:
        return None
    what = _("this machine's clock is {seconds} s behind the database server's", seconds=decimal(off))
    if off < 0:
        what = _("this machine's clock is {seconds} s ahead of the database server's", seconds=decimal(-off))
    return Check(
        "warn", what, _("let both follow NTP; retries, expiries and the times that people read are off by that")
    )


async def workers_alive(settings: Settings) -> Sequence[WorkerState]:
    """The workers that have reported within a lease."""
    database = Database(settings.url)
    alive = await WorkerRegistry(database, lease_seconds=settings.lease_seconds).alive()
    await database.close()
    return alive


def workers(workers: Sequence[WorkerState]) -> Check:
    """What the workers are doing, and whether they can store pictures."""
    painting, idle = _("painting"), _("idle")
    doing = [f"{worker.device} {painting if worker.painting else idle}" for worker in workers]
    count = ngettext("1 worker", "{number} workers", len(workers))
    if stuck := [worker for worker in workers if worker.trouble]:
        why = _("the disk is full") if stuck[0].trouble == StorageFull.code else _("the folder cannot be written")
        what = _(
            "{count}, {stuck} of them paused: pictures cannot be stored, because {why}",
            count=count,
            stuck=len(stuck),
            why=why,
        )
        return Check("fail", what, _("free some space, or give the right to write; they go on by themselves"))
    return Check("ok", f"{count}: {commas(doing)}" if workers else _("no worker is running now"))


def metrics(settings: Settings) -> Check:
    """Where the metrics are, for Prometheus."""
    if not settings.metrics_port:
        return Check("ok", _("no metrics are served; metrics_port = 9464 would serve them"))
    address = f"http://{settings.metrics_host}:{settings.metrics_port}/metrics"
    return Check("ok", _("metrics are served at {address} while the bot runs", address=address))
