"""Base of the worker pools: starts, restarts and stops workers."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

from limner.bot.background import start
from limner.bot.errors import SetupError
from limner.bot.queue.faults import WorkerFault
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.listen import listen
from limner.bot.settings import Settings
from limner.bot.translation import N_, _

log = logging.getLogger(__name__)

FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
"""Seconds before a dead worker is restarted; doubled each time it dies early."""
GROWN_UP = 60.0
"""A worker that ran for so many seconds did not die of its start."""
PUT_BACK_SECONDS = 10.0
"""How long a worker may take to put its jobs back and exit before it is terminated."""
NOT_STARTED = N_("The workers cannot start; the reason is in the line above. Correct it, then start Limner again.")


class Workers(ABC):
    """Workers from `start` to `stop`; ``deaths`` counts those that ended by themselves.

    Args:
        settings: handed on to the workers.
        jobs: the queue that they work on.
    """

    def __init__(self, settings: Settings, jobs: JobQueue) -> None:
        self.deaths: int = 0
        self._settings = settings
        self._jobs = jobs
        self._running: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def worker_ids(self) -> set[str]:
        """The workers that are running now, as `Job.worker_id` names them."""
        return set(self._running)

    @property
    def is_over(self) -> bool:
        """Whether no worker will be started any more."""
        return self._tasks[0].done()

    async def start(self) -> None:
        """Start the workers; returns before they are ready."""
        self._jobs.queued.listeners.append(self._wake)
        self._tasks = [start(self._keep_all(), "workers"), start(listen(self._jobs), "listen")]

    async def wait(self) -> None:
        """Wait until no worker will be started any more; raises SetupError with what the operator has to do."""
        await asyncio.shield(self._tasks[0])

    async def stop(self) -> None:
        """Stop the workers in good order, or by force; none is left when this returns."""
        self._jobs.queued.listeners.remove(self._wake)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @abstractmethod
    async def _keep_all(self) -> None:
        """Keep all workers running until cancelled."""

    async def _keep_each(self, keepers: Iterable[Coroutine[None, None, None]]) -> None:
        """Run the keepers of all workers; raises SetupError if a worker says that its setup is wrong."""
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in keepers:
                    group.create_task(keeper)
        except* SetupError as errors:
            log.error("workers_not_started reason=setup")
            raise SetupError(_(NOT_STARTED)) from errors

    @abstractmethod
    def _wake(self) -> None:
        """Wake every worker to claim."""

    async def _abandon(self, worker_id: str, fault: WorkerFault) -> None:
        """Make a dead worker's jobs claimable at once."""
        try:
            await self._jobs.abandon(worker_id, fault)
        except Exception as error:  # the lease expires by itself
            log.warning("worker_not_abandoned worker=%s error=%s", worker_id, type(error).__name__)
