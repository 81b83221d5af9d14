"""Workers as Ray actors, which Ray places and restarts on any machine of a cluster."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from limner.bot.errors import SetupError
from limner.bot.queue.faults import CRASHED, EXIT_SETUP, UNRESPONSIVE, WorkerBroken
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.translation import N_, _
from limner.bot.worker.launch import new_worker_id
from limner.bot.worker.pool import (
    FIRST_PAUSE,
    GROWN_UP,
    LAST_PAUSE,
    NOT_STARTED,
    PUT_BACK_SECONDS,
    Workers,
)
from limner.generators.errors import error_site

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.worker.worker import Worker

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
"""Longest interval between two signs of life of an actor."""
SILENT_SECONDS = 60.0
"""An actor without a sign of life for so long hangs and is replaced."""

ANSWER_SECONDS = 5.0

NOT_INSTALLED = N_("The setting `executor` is ray, and Ray is not installed; run pip install -e .[ray]")
NOT_REACHED = N_("There is no Ray cluster at the address in `ray_address`; run `ray start` there, or leave it empty.")


class RayWorker:
    """The program of one actor: a worker in a process that Ray made.

    When it breaks, its process exits and Ray starts another one: torch cannot be trusted after a lost device. When its
    setup is wrong, it stays and says so, because Ray would start it again without end.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._id = new_worker_id()
        self._changed = asyncio.Event()
        self._code = 0
        self._open: tuple[App, Worker] | None = None
        self._working: asyncio.Task[None] | None = None

    async def begin(self) -> str:
        """Start working under this worker id."""
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name="worker")
        return self._id

    async def heard(self) -> int:
        """Wait until rows may have changed, at most BEAT_SECONDS; EXIT_SETUP if the setup is wrong, otherwise 0."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self._changed.wait()
        self._changed.clear()
        return self._code

    async def wake(self) -> None:
        """Wake the worker to claim."""
        if self._open:
            app, _ = self._open
            app.jobs.queued.hear()

    async def stop(self) -> None:
        """Return when every job in flight is stored or put back."""
        if self._open and self._working:
            _, worker = self._open
            worker.stop()
            await self._working

    async def _work(self) -> None:
        from limner.bot.log import start_log
        from limner.bot.worker.process import open_worker

        try:
            settings = Settings.load(self._environment)
            start_log(settings)
            async with open_worker(settings, self._id) as self._open:
                app, worker = self._open
                app.jobs.changed.listeners.append(self._changed.set)
                await worker.run()
        except WorkerBroken as broken:
            log.error("worker_broken worker=%s code=%s", self._id, broken.fault.code)
            os._exit(broken.exit_code)
        except SetupError as error:
            log.error("worker_not_started worker=%s reason=%s", self._id, error)
            self._code = EXIT_SETUP
            self._changed.set()
        except Exception as error:
            log.error("worker_broken worker=%s reason=%s", self._id, error_site(error))
            os._exit(1)


class RayWorkers(Workers):
    """Runs ``settings.workers`` Ray actors from `start` to `stop`; used instead of the `Supervisor` of processes.

    Each has one GPU where the cluster has any (and ``settings.device`` does not say otherwise), and one CPU core; Ray
    spreads them over its machines and restarts dead ones. Every machine needs Limner with the same models, the data
    folder at the same path, and the database.
    """

    def __init__(self, settings: Settings, jobs: JobQueue) -> None:
        super().__init__(settings, jobs)
        self._ray: Any = None
        self._ours = False  # whether this process started Ray

    async def start(self) -> None:
        """Begin to join the cluster, or to start one on this machine; returns before any actor is placed.

        Raises:
            SetupError: Ray is not installed, or the cluster's address does not answer.
        """
        if not importlib.util.find_spec("ray"):
            raise SetupError(_(NOT_INSTALLED))
        if not await answers(self._settings.ray_address):
            raise SetupError(_(NOT_REACHED))
        await super().start()

    async def _keep_all(self) -> None:
        """Stay in the cluster and keep the actors running."""
        while True:
            joining = asyncio.create_task(asyncio.to_thread(self._join))
            try:
                await asyncio.shield(joining)
                await self._keep_each(self._keep() for _number in range(self._settings.workers))
            except SetupError:
                raise
            except Exception as error:
                log.error("ray_lost seconds=%.0f reason=%s", LAST_PAUSE, error_site(error))
            finally:
                await asyncio.wait([joining])  # a thread cannot be cancelled
                if self._ours:
                    await asyncio.to_thread(self._ray.shutdown)
            await asyncio.sleep(LAST_PAUSE)

    def _join(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
        self._ray = importlib.import_module("ray")
        self._ours = not self._ray.is_initialized()
        if self._ours:
            address = self._settings.ray_address
            quiet: dict[str, Any] = {} if address else {"include_dashboard": False}
            self._ray.init(address=address or "local", logging_level=logging.ERROR, **quiet)

    def _place(self) -> Any:
        """Ask Ray for one more actor; it starts when a machine has capacity."""
        device = self._settings.device.partition(":")[0]
        has_gpus = bool(self._ray.cluster_resources().get("GPU"))
        gpus = 1 if device == "cuda" or (device == "auto" and has_gpus) else 0
        # Ray shows each actor only its own GPU, which is therefore the first.
        settings = self._settings.using(device="cuda") if gpus else self._settings
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": -1, "scheduling_strategy": "SPREAD"}
        return self._ray.remote(RayWorker).options(**options).remote(settings.environment())

    async def _keep(self) -> None:
        """Keep one actor running; raises SetupError if it says that its setup is wrong."""
        actor, pause = self._place(), FIRST_PAUSE
        try:
            while True:
                born = time.monotonic()
                try:
                    await self._follow(actor)
                except TimeoutError:
                    self._ray.kill(actor, no_restart=False)
                except self._ray.exceptions.ActorDiedError:  # permanently: its cluster has forgotten it
                    actor = self._place()
                except self._ray.exceptions.RayError as error:
                    log.warning("worker_unavailable reason=%s", type(error).__name__)
                pause = FIRST_PAUSE if time.monotonic() - born > GROWN_UP else pause
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
        finally:
            self._ray.kill(actor)

    async def _follow(self, actor: Any) -> None:
        """Relay an actor's wake-ups; when it dies, hangs or is set up wrongly, abandon its jobs. Never returns."""
        worker_id: str = await actor.begin.remote()
        self._running[worker_id] = actor
        log.info("worker_placed worker=%s", worker_id)
        fault = CRASHED
        try:
            while True:
                if await asyncio.wait_for(actor.heard.remote(), SILENT_SECONDS) == EXIT_SETUP:
                    raise SetupError(_(NOT_STARTED))
                self._jobs.changed.hear()
        except (TimeoutError, self._ray.exceptions.RayError) as error:
            self.deaths += 1
            fault = UNRESPONSIVE if isinstance(error, TimeoutError) else CRASHED
            log.warning("worker_died worker=%s code=%s", worker_id, fault.code)
            raise
        except asyncio.CancelledError:
            await self._stop(actor)
            raise
        finally:
            del self._running[worker_id]
            await self._abandon(worker_id, fault)

    async def _stop(self, actor: Any) -> None:
        with suppress(TimeoutError, self._ray.exceptions.RayError):
            await asyncio.wait_for(actor.stop.remote(), PUT_BACK_SECONDS)

    def _wake(self) -> None:
        for actor in self._running.values():
            actor.wake.remote()


async def answers(address: str) -> bool:
    """Whether ``host:port`` accepts connections, where Ray would retry for minutes; True for `auto` and for nothing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return True
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), ANSWER_SECONDS)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True
