"""Starts worker processes, the first one before this process has loaded the libraries of the bot."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from limner.bot.settings import Settings
from limner.bot.storage.migrate import check
from limner.bot.worker.devices import known_devices


@dataclass(frozen=True)
class Launched:
    """A worker process and the id under which it claims jobs."""

    worker_id: str
    process: Process


async def launch(settings: Settings, device: str) -> Launched:
    """Start a worker process for a device; raises OSError."""
    worker_id = new_worker_id()
    command = (sys.executable, "-P", "-m", "limner", "worker", "--id", worker_id, "--device", device)
    # A group of its own: Ctrl-C in the terminal is for this process, which then stops its workers in order. But the
    # same session: Linux shares processors between sessions first, so a lower priority counts only within one.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=_environment(settings), process_group=0
    )
    return Launched(worker_id, process)


@asynccontextmanager
async def launched_early(settings: Settings) -> AsyncGenerator[list[Launched]]:
    """A worker for the first device where that is known at once: it loads torch while the bot loads its own libraries.

    A `Supervisor` takes it over by removing it from the list; otherwise it ends with the block.

    Raises:
        SetupError: the database cannot be used, by a worker or the bot.
    """
    await check(settings.url)
    early = list[Launched]()
    devices = known_devices(settings.devices)
    if settings.workers and settings.executor == "local" and devices:
        with suppress(OSError):  # the supervisor tries again, and logs the reason
            early.append(await launch(settings, devices[0]))
    try:
        yield early
    finally:
        for launched in early:
            launched.process.kill()
            await launched.process.wait()


def new_worker_id() -> str:
    """A worker id that was never used: leases belong to it alone."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"


def _environment(settings: Settings) -> dict[str, str]:
    """This process's variables and settings, without the token, which workers do not need."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    return inherited | settings.environment()
