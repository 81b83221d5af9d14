"""Compiles models while a worker is idle, and tries in another process first what that saves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from limner.bot.settings import Settings
from limner.bot.worker.devices import ask_generators
from limner.bot.worker.executor_thread import ExecutorThread

IDLE_SECONDS = 5.0
"""How long nothing must have been painted before a trial begins."""
TRIAL_SECONDS = 900.0
"""How long a trial may take."""
LOOK_SECONDS = 0.2
"""Interval at which a running trial looks for new jobs."""


class IdleCompiling:
    """Compiles a size of calls at a time, for as long as no request waits.

    A trial ends at once when a job comes, and begins again in the next pause with what its cache folder holds by then.
    """

    def __init__(self, executor: ExecutorThread, settings: Settings) -> None:
        self._executor = executor
        self._is_wanted = bool(settings.compile)
        self._idle_since = time.monotonic()

    async def advance(self, is_idle: Callable[[], bool]) -> None:
        """Take one step: compile for a size, or try what that saves."""
        if not self._is_wanted:
            return
        if not is_idle():
            self._idle_since = time.monotonic()
        elif time.monotonic() > self._idle_since + IDLE_SECONDS and (asked := await self._executor.compile_next()):
            await self._try(*asked, is_idle)

    async def _try(self, model: str, asked: str, is_idle: Callable[[], bool]) -> None:
        trial = asyncio.create_task(
            ask_generators("diffusion.compile_trial", asked, seconds=TRIAL_SECONDS), name="compile-trial"
        )
        try:
            while not trial.done() and is_idle():
                await asyncio.wait({trial}, timeout=LOOK_SECONDS)
            if trial.done():
                await self._executor.compile_tried(model, trial.result())
        finally:
            trial.cancel()
            await asyncio.wait({trial})
