"""Keeps the worker processes of one machine running, and relays wake-ups."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import cast

from limner.bot.app import open_app
from limner.bot.background import cancel_on_signals
from limner.bot.errors import SetupError
from limner.bot.queue.faults import EXIT_SETUP, UNRESPONSIVE, fault_of
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.wakeup import ALIVE
from limner.bot.settings import Settings
from limner.bot.storage.migrate import check
from limner.bot.translation import _
from limner.bot.worker.devices import find_devices
from limner.bot.worker.launch import Launched, launch
from limner.bot.worker.pool import (
    FIRST_PAUSE,
    GROWN_UP,
    LAST_PAUSE,
    NOT_STARTED,
    PUT_BACK_SECONDS,
    Workers,
)

log = logging.getLogger(__name__)

START_SECONDS = 300.0
"""How long a worker may take until its first sign of life: it imports torch, maybe from a slow disk."""
SILENT_LEASES = 4
"""After so many leases without a sign of life a worker is treated as hung and killed."""
TERMINATE_SECONDS = 3.0


class Supervisor(Workers):
    """Runs ``settings.workers`` worker processes on each device from `start` to `stop`, and replaces dead ones.

    A newline on a worker's stdin wakes it, and closing stdin stops it in good order, so it also stops when this process
    is killed. It sends a sign of life on stdout several times a lease, and is killed when there is none.

    Args:
        settings: passed on to the workers.
        jobs: the queue that they work on.
        devices: where to paint; None means those of the settings.
        early: a worker that runs already on the first device (`launched_early`); it is taken over.
    """

    _running: dict[str, Process]

    def __init__(
        self,
        settings: Settings,
        jobs: JobQueue,
        *,
        devices: Sequence[str] | None = None,
        early: list[Launched] | None = None,
    ) -> None:
        super().__init__(settings, jobs)
        self._devices = devices
        self._early = early or []

    def _wake(self) -> None:
        for process in self._running.values():
            stdin = process.stdin
            if stdin and not stdin.is_closing() and not stdin.transport.get_write_buffer_size():
                stdin.write(b"\n")

    async def _keep_all(self) -> None:
        if not self._settings.workers:
            return
        # An images server has its own devices, and one worker keeps it busy.
        wanted = self._settings.devices if self._settings.executor == "local" else ["cpu"]
        devices = self._devices or await find_devices(wanted)
        await self._keep_each(self._keep(device) for device in devices for _number in range(self._settings.workers))

    async def _keep(self, device: str) -> None:
        """Keep one worker running on this device; raises SetupError if it says that its setup is wrong."""
        pause = FIRST_PAUSE
        while True:
            born = time.monotonic()
            try:
                launched = self._early.pop() if self._early else await launch(self._settings, device)
                if await self._run(launched) == EXIT_SETUP:
                    raise SetupError(_(NOT_STARTED))
            except OSError as error:
                log.error("worker_not_started device=%s reason=%s", device, error.strerror)
            pause = FIRST_PAUSE if time.monotonic() - born > GROWN_UP else pause
            log.warning("worker_restarts device=%s seconds=%.1f", device, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    async def _run(self, launched: Launched) -> int:
        """Look after one worker process and return its exit code when its jobs are abandoned.

        Ends it on cancellation.
        """
        worker_id, process = launched.worker_id, launched.process
        self._running[worker_id] = process
        hearing = asyncio.create_task(self._hear(process))
        try:
            await process.wait()
            self.deaths += 1
            log.warning("worker_died worker=%s code=%s", worker_id, process.returncode)
            return process.returncode or 0
        finally:
            await _end(process)
            fell_silent = await hearing
            del self._running[worker_id]
            await self._abandon(worker_id, UNRESPONSIVE if fell_silent else fault_of(process.returncode))

    async def _hear(self, process: Process) -> bool:
        """Relay a worker's wake-ups until it exits; kill it if it sends no sign of life, and return whether it did."""
        stdout, silences = cast(asyncio.StreamReader, process.stdout), 0
        patience = START_SECONDS
        while silences < 2:  # in halves: if this process itself was suspended, one half proves nothing
            try:
                async with asyncio.timeout(patience / 2):
                    word = await stdout.readline()
            except TimeoutError:
                silences += 1
                continue
            if not word:
                return False
            silences = 0
            if word == ALIVE:
                patience = SILENT_LEASES * self._settings.lease_seconds
            else:
                self._jobs.changed.hear()
        log.error("worker_silent seconds=%.0f", patience)
        process.kill()
        return True


async def supervise(settings: Settings) -> None:
    """Keep the workers of this machine running until SIGINT or SIGTERM; the bot runs elsewhere.

    Raises:
        SetupError: a worker's setup is wrong, so that no restart can help.
    """
    await check(settings.url)
    settings = settings.using(workers=max(1, settings.workers))
    async with open_app(settings) as app, Supervisor(settings, app.jobs) as keeper:
        waiting = asyncio.ensure_future(keeper.wait())
        cancel_on_signals(waiting)
        await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.result()


async def _end(process: Process) -> None:
    cast(asyncio.StreamWriter, process.stdin).close()
    for seconds, force in ((PUT_BACK_SECONDS, process.terminate), (TERMINATE_SECONDS, process.kill)):
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
            return
        except TimeoutError:
            force()
    await process.wait()
