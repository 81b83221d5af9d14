"""The worker: claims jobs, has their ideas expanded, paints them together step by step, and stores the pictures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from bot.app import App, open_app
from bot.errors import SetupError, StorageFull, UserError
from bot.jobs import Picture
from bot.migrate import check
from bot.models import Job
from bot.pictures import encode_png, parameters
from bot.settings import Settings
from bot.supervisor import new_worker_id
from bot.wakeup import hear_stdin, listen, take_stdout
from bot.wording import PATIENCE_SECONDS, patiently, settle_prompt
from generators.base import (
    Event,
    Failed,
    Finished,
    GenerationError,
    GenerationRequest,
    ModelCard,
    Progress,
    PromptExpander,
)
from generators.executor import Executor

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How long a queued job waits at most for a worker that no wake-up reaches."""
REPORT_SECONDS = 0.25
"""Between two writes of the steps taken."""
TIDY_SECONDS = 60.0
HELD_SECONDS = 24 * 3600.0
"""How long an expansion waits for its owner's choice."""
STOP_SECONDS = 3.0
"""How long a stopping worker waits for the step that runs, and again for pictures that are being stored."""

T = TypeVar("T")

WARM_UP = "a red fox"
STUMBLED = "The painter stumbled over this request; ask again in a moment."


class Worker:
    """Paints the jobs of one queue on one device, many at a time, until `stop`.

    Everything runs in one event loop except the executor's blocking calls, which have a thread of their own: so leases
    are kept, ideas expanded and pictures stored while a step runs. What goes wrong with one job costs that job an
    attempt and nothing else; what a killed worker had in hand waits again when its lease ends.
    """

    def __init__(self, app: App, executor: Executor, expander: PromptExpander, worker_id: str) -> None:
        self.worker_id = worker_id
        self._app = app
        self._executor = executor
        self._expander = expander
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="executor")
        self._free = app.settings.max_batch  # samples that fit beside those that are being painted
        self._jobs: dict[int, Job] = {}  # in hand: being prepared, ready, or being painted
        self._preparing: dict[int, asyncio.Task[bool | None]] = {}
        self._ready: dict[int, Job] = {}
        self._leaving: set[str] = set()  # keys to evict before the next step
        self._ending: dict[int, asyncio.Task[None]] = {}  # painted or failed, on the way into the rows
        self._lost: set[int] = set()  # in hand, but heartbeat says: not ours any more
        self._orphans: set[int] = set()  # ours by their rows, but not in hand
        self._steps: dict[int, int] = {}  # taken, and not yet written down
        self._cold = True
        self._warming: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stepped = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; `run` puts back what is in hand and returns within a step."""
        self._stopping.set()
        self._woken.set()

    async def run(self, *, burst: bool = False) -> None:
        """Work until `stop` is called or, with ``burst``, until nothing is left to claim."""
        self._woken.set()
        working = asyncio.create_task(self._work(burst), name="work")
        background = [
            asyncio.create_task(_repeat(self._watch, 0), name="watch"),
            asyncio.create_task(_repeat(self._report, REPORT_SECONDS), name="report"),
            asyncio.create_task(_repeat(self._beat, self._app.settings.lease_seconds / 4), name="beat"),
            asyncio.create_task(_repeat(self._tidy, TIDY_SECONDS), name="tidy"),
            asyncio.create_task(self._stopping.wait(), name="stopping"),
        ]
        try:
            await asyncio.wait({working, background[-1]}, return_when=asyncio.FIRST_COMPLETED)
            done, _ = await asyncio.wait({working}, timeout=STOP_SECONDS)
            for task in done:
                task.result()
        finally:
            warming = [self._warming] if self._warming else []
            await _cancel(working, *background, *warming, *self._preparing.values())
            await self._wind_up()

    # The loop: between two steps it looks around, if somebody has called.

    async def _work(self, burst: bool) -> None:
        # Before any language model is imported in another thread: the two share libraries that import in circles.
        await self._in_thread(_import_painters, {card.kind for card in self._app.settings.cards.values()})
        while not self._stopping.is_set():
            if self._woken.is_set():
                self._woken.clear()
                await self._look_around()
            if self._ready or self._leaving or self._painting:
                for event in await self._paint():
                    self._handle(event)
            elif self._woken.is_set():
                continue
            elif burst and not self._jobs and not self._ending:
                return
            else:
                if self._cold and not burst:
                    self._cold = False
                    self._warming = asyncio.create_task(self._warm_up(), name="warm-up")
                await self._woken.wait()

    async def _look_around(self) -> None:
        """Let go of what was cancelled or lost, and claim what fits."""
        jobs = self._app.jobs
        try:
            for job_id in await jobs.end_cancelled(self.worker_id) | self._lost:
                self._drop(job_id)
            self._lost.clear()
            if (room := self._room()) > 0:
                batch_key = next((job.batch_key for job in self._jobs.values()), None)
                for job in await jobs.claim(self.worker_id, capacity=room, batch_key=batch_key):
                    self._take(job)
        except Exception as error:
            log.warning("worker_waits reason=%s", _place(error))
            await asyncio.sleep(PATIENCE_SECONDS)
            self._woken.set()

    def _room(self) -> int:
        """How many more samples may be claimed now."""
        if any(job.attempts > 1 for job in self._jobs.values()) or len(self._ending) >= self._app.settings.max_batch:
            return 0  # what failed before is painted alone; a disk that is slower than the painter must catch up
        waiting = sum(self._jobs[job_id].samples for job_id in (*self._preparing, *self._ready))
        return (self._free if self._painting else self._app.settings.max_batch) - waiting

    @property
    def _painting(self) -> bool:
        return len(self._jobs) > len(self._preparing) + len(self._ready)

    def _take(self, job: Job) -> None:
        self._cold = False
        self._jobs[job.id] = job
        preparing = self._guarded(job, settle_prompt(self._app, self._expander, job))
        task = self._preparing[job.id] = asyncio.create_task(preparing, name=f"prepare-{job.id}")
        task.add_done_callback(lambda task: self._prepared(job, task))

    def _prepared(self, job: Job, task: asyncio.Task[bool | None]) -> None:
        if self._preparing.get(job.id) is not task:
            return  # dropped
        del self._preparing[job.id]
        if _result(task):
            self._ready[job.id] = job
        else:
            del self._jobs[job.id]
        self._woken.set()

    def _drop(self, job_id: int) -> None:
        """Forget a job that is not ours to paint any more; its row has its end, or another worker."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        log.info("job_dropped job=%s", job_id)
        self._steps.pop(job_id, None)
        if preparing := self._preparing.pop(job_id, None):
            preparing.cancel()
        elif self._ready.pop(job_id, None) is None:
            self._leaving.add(str(job_id))

    # Pixels

    async def _paint(self) -> list[Event]:
        """One step of the executor: who leaves goes first, then newcomers come in."""
        leaving, self._leaving = self._leaving, set()
        coming, self._ready = list(self._ready.values()), {}
        model = next((job.request["model"] for job in self._jobs.values()), None)
        try:
            events, self._free = await self._in_thread(self._step, leaving, coming, model)
        except Exception as error:
            log.error("executor_stumbled reason=%s", _place(error))
            keys = [str(job_id) for job_id in self._jobs if job_id not in self._preparing]
            self._leaving.update(keys)
            return [Failed(key, GenerationError(STUMBLED)) for key in keys]
        if leaving:
            self._woken.set()
        return events

    def _step(self, leaving: set[str], coming: list[Job], model: str | None) -> tuple[list[Event], int]:
        for key in leaving:
            self._executor.evict(key)
        events: list[Event] = []
        for job in coming:
            try:
                self._executor.admit(str(job.id), job.generation)
            except GenerationError as error:
                events.append(Failed(str(job.id), error))
        events += self._executor.step()
        return events, self._executor.capacity(model) if model else self._app.settings.max_batch

    def _handle(self, event: Event) -> None:
        job = self._jobs.get(int(event.key))
        if job is None:
            return
        if isinstance(event, Progress):
            self._steps[job.id] = event.step
            self._stepped.set()
        elif isinstance(event, Finished):
            self._let_go(job, self._store(job, event))
        elif isinstance(event, Failed):
            self._let_go(job, self._end_failed(job, event.error))

    def _let_go(self, job: Job, ending: Coroutine[Any, Any, None]) -> None:
        """A job has left the executor: write its end into its row while the next step runs."""
        del self._jobs[job.id]
        self._steps.pop(job.id, None)
        task = self._ending[job.id] = asyncio.create_task(self._guarded(job, ending), name=f"end-{job.id}")
        task.add_done_callback(lambda task: self._ended(job, task))
        self._woken.set()

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        _result(task)
        if self._ending.get(job.id) is task:
            del self._ending[job.id]
        self._woken.set()

    # Ends

    async def _store(self, job: Job, finished: Finished) -> None:
        pictures = await asyncio.to_thread(self._save, job, finished)
        seconds, busy_seconds = finished.seconds, finished.busy_seconds
        finish = self._app.jobs.finish
        if await patiently(lambda: finish(job, pictures, seconds=seconds, busy_seconds=busy_seconds)):
            return
        # One that is not ours any more is somebody else's, who stores the very same files.
        if (await self._app.jobs.get(job.id)).cancel_requested:
            await self._app.history.drop_files({picture.sha256 for picture in pictures})

    def _save(self, job: Job, finished: Finished) -> list[Picture]:
        card = self._app.settings.cards[job.request["model"]]
        pictures: list[Picture] = []
        for image, seed in zip(finished.images, finished.seeds, strict=True):
            png = encode_png(image, parameters(job, card, seed))
            pictures.append(Picture(self._app.images.save(png), image.width, image.height, len(png), seed))
        return pictures

    async def _end_failed(self, job: Job, error: GenerationError) -> None:
        jobs, code = self._app.jobs, _code(error)
        end = jobs.retry if error.retryable else jobs.fail
        await patiently(lambda: end(job, code, str(error)))

    async def _guarded(self, job: Job, work: Awaitable[T]) -> T | None:
        """Whatever goes wrong with one job costs that job an attempt, and nothing else."""
        try:
            return await work
        except StorageFull as error:
            code, reason = error.code, str(error)
        except UserError as error:
            ending = error
            await patiently(lambda: self._app.jobs.fail(job, ending.code, str(ending)))
            return None
        except Exception as error:
            log.error("job_stumbled job=%s reason=%s", job.id, _place(error))
            code, reason = "crashed", STUMBLED
        await patiently(lambda: self._app.jobs.retry(job, code, reason))
        return None

    # Beside the loop

    async def _watch(self) -> None:
        await self._app.jobs.queued.wait(timeout=POLL_SECONDS)
        self._woken.set()

    async def _report(self) -> None:
        await self._stepped.wait()
        self._stepped.clear()
        steps, self._steps = self._steps, {}
        await self._app.jobs.record_steps(self.worker_id, steps)

    async def _beat(self) -> None:
        """Keep the leases; notice what is no longer ours, and what is ours by its row only."""
        in_hand = dict(self._jobs)
        ours = await self._app.jobs.heartbeat(self.worker_id)
        self._lost |= {job_id for job_id, job in in_hand.items() if self._jobs.get(job_id) is job} - ours
        orphans = ours - self._jobs.keys() - self._ending.keys()
        for job_id in orphans & self._orphans:  # twice in a row: no claim is just about to bring it
            await self._app.jobs.retry(await self._app.jobs.get(job_id), "crashed", STUMBLED)
        self._orphans = orphans
        await self._app.jobs.requeue_stalled()
        self._woken.set()

    async def _tidy(self) -> None:
        await asyncio.to_thread(self._app.images.sweep)
        await self._app.jobs.expire_held(HELD_SECONDS)

    async def _warm_up(self) -> None:
        """Load the default model, and a language model on this machine, while nobody waits for them."""
        settings = self._app.settings
        await self._in_thread(self._load, settings.default_card)
        if not settings.expander_url:
            words = min(1, settings.default_card.max_added_words)
            await self._expander.expand(WARM_UP, locale="en-US", seed=0, max_words=words)

    def _load(self, card: ModelCard) -> None:
        request = GenerationRequest(
            prompt="",
            model=card.name,
            width=card.width,
            height=card.height,
            num_inference_steps=1,
            guidance_scale=card.guidance_scale,
            seed=0,
        )
        if self._executor.in_flight:
            return  # a job has come first, and its model is not to be put out of memory for this
        with contextlib.suppress(GenerationError):  # the executor has logged it; the first job will hear of it
            self._executor.admit(WARM_UP, request)
            self._executor.evict(WARM_UP)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _wind_up(self) -> None:
        """Nothing in hand is lost: what is painted is stored, the rest waits again."""
        if self._ending:
            await asyncio.wait(self._ending.values(), timeout=STOP_SECONDS)
        await _cancel(*self._ending.values())
        with contextlib.suppress(TimeoutError):  # the leases end by themselves
            async with asyncio.timeout(STOP_SECONDS):
                await patiently(lambda: self._app.jobs.end_cancelled(self.worker_id))
                await patiently(lambda: self._app.jobs.put_back(self.worker_id))
                await self._in_thread(self._executor.close)
                await self._expander.close()
        self._thread.shutdown(wait=False)


async def run_worker(settings: Settings, *, worker_id: str | None = None) -> None:
    """Be a worker process until SIGTERM, SIGINT, or the end of the process that supervises it.

    Args:
        settings: where the queue is, and what may be painted on which device.
        worker_id: the name that a supervising process gave this one; its wake-ups then come on stdin, whose end stops
            this worker, and this worker's own go to stdout. None for a worker that stands alone.
    """
    # Before torch is loaded: its threads must not spin while they wait for each other, because the language model has
    # threads of its own. On two busy cores a step took 14 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    await check(settings.url)
    async with open_app(settings) as app:
        executor = Executor(
            settings.cards,
            device=settings.device,
            dtype=settings.dtype,
            offload=settings.offload,
            max_batch=settings.max_batch,
        )
        worker = Worker(app, executor, load_expander(settings), worker_id or new_worker_id())
        if worker_id:
            app.jobs.changed.listeners.append(take_stdout())
            hear_stdin(app.jobs.queued.hear, worker.stop)
        _stop_on_signals(worker)
        listener = asyncio.create_task(listen(app.jobs), name="listen")
        log.info("worker_started worker=%s", worker.worker_id)
        try:
            await worker.run()
        finally:
            await _cancel(listener)
        log.info("worker_stopped worker=%s", worker.worker_id)


def load_expander(settings: Settings) -> PromptExpander:
    """The expander that the settings name; raises SetupError if no installed package has it."""
    found = {entry.name: entry for entry in entry_points(group="limner.expanders")}
    if settings.expander not in found:
        raise SetupError(f"The setting `expander` must be one of {', '.join(found)}.")
    expander = found[settings.expander].load()
    return expander.create(
        model=settings.expander_model,
        url=settings.expander_url,
        api_key=settings.expander_api_key,
        timeout=settings.expander_timeout,
        cache=settings.data / "cache",
    )


def _import_painters(kinds: set[str]) -> None:
    for painter in entry_points(group="limner.generators"):
        if painter.name in kinds:
            painter.load()


def _stop_on_signals(worker: Worker) -> None:
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(worker.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


async def _repeat(work: Callable[[], Awaitable[None]], pause: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:
            log.warning("worker_waits reason=%s", _place(error))
            await asyncio.sleep(PATIENCE_SECONDS)
        await asyncio.sleep(pause)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _result(task: asyncio.Task[T]) -> T | None:
    """What the task returned; None if it was cancelled or could not even write down that it failed."""
    if task.cancelled():
        return None
    if error := task.exception():
        log.error("job_stranded task=%s reason=%s", task.get_name(), _place(error))
        return None
    return task.result()


def _place(error: BaseException) -> str:
    """The kind of an error and where it was raised; never its text, which may quote a prompt."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _code(error: GenerationError) -> str:
    """OutOfMemory -> out_of_memory, as the row's reason code."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()[:32]
