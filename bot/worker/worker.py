"""The worker: claims jobs, has their ideas expanded, paints them together step by step, and stores the pictures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from limner.bot.app import App
from limner.bot.background import WRITE_AGAIN_SECONDS, patiently
from limner.bot.options.notes import REFINED
from limner.bot.queue.faults import DEVICE_LOST, WorkerBroken, WorkerFault
from limner.bot.reasons import PAINTING, JobKind
from limner.bot.storage.erasing import merge_index
from limner.bot.storage.tables.models import Job
from limner.bot.worker.changes import Changes
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread, NotChanged
from limner.bot.worker.explanations import Explanations, from_explanation
from limner.bot.worker.failures import STUMBLED, charge, end_failed, guarded
from limner.bot.worker.heartbeat import Heartbeat
from limner.bot.worker.housekeeping import classify_again, tidy, trim
from limner.bot.worker.idle_compiling import IdleCompiling
from limner.bot.worker.in_flight import InFlightJobs
from limner.bot.worker.other_jobs import describe, enlarge, finish_given
from limner.bot.worker.picture_embeddings import OlderPictures
from limner.bot.worker.prepare import settle_input, settle_part, settle_prompt
from limner.bot.worker.refinements import Refinements, note, selected
from limner.bot.worker.reports import BEATS, Reports, State
from limner.bot.worker.results import from_painting, hand_in
from limner.bot.worker.scoring_thread import ScoringThread, SelectedPicture
from limner.bot.worker.side_pictures import look_at_model_pictures
from limner.bot.worker.storage_watch import TRY_SECONDS, StorageWatch
from limner.generators.base import Event, Failed, Finished, Preview, Progress, PromptExpander
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import DeviceLost, GenerationError, error_site
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Longest wait of a queued job for a worker that no wake-up reaches."""
EMBED_SECONDS = 0.5
"""Pause between two times that an idle worker embeds a few pictures, which take 25 processor milliseconds each."""
LOOK_SECONDS = 5.0
"""Pause between two pictures beside models that an idle worker copies and classifies."""
COMPILE_SECONDS = 1.0
"""Pause between two sizes of calls that an idle worker compiles for, so that a job which comes meanwhile is next."""
REPORT_SECONDS = 0.25
"""Interval between two writes of the steps taken."""
PREVIEW_SECONDS = 2.0
"""Interval between two writes of the newest previews."""
TIDY_SECONDS = 60.0
TRIM_SECONDS = 3600.0
MERGE_SECONDS = 86_400.0
"""Interval at which the full-text index is rewritten without the words of deleted requests."""
STOP_SECONDS = 3.0
"""How long a stopping worker waits for the running step, and again for pictures that are being stored."""

T = TypeVar("T")

WARM_UP = "a red fox"


class Worker:
    """Paints the jobs of one queue on one device, many at a time, until `stop`.

    Everything runs in one event loop except the executor's blocking calls, which have a thread of their own, so leases
    are extended, ideas expanded and pictures stored during a step. An error of one job costs that job an attempt and
    nothing else; a killed worker's jobs wait again when its leases end.
    """

    def __init__(
        self,
        app: App,
        executor: ExecutorThread,
        expander: PromptExpander,
        classifier: ClassifierThread,
        scoring: ScoringThread,
        worker_id: str,
    ) -> None:
        self.worker_id = worker_id
        self.beats: list[Callable[[], None]] = []
        """Called several times a lease while the event loop runs.

        A supervisor without these calls treats it as hung.
        """
        self._app = app
        self._executor = executor
        self._expander = expander
        self._classifier = classifier
        self._scoring = scoring
        self._in_flight = InFlightJobs()
        self._changes = Changes(app, worker_id)
        self._explanations = Explanations()
        self._refinements = Refinements()
        self._storage = StorageWatch(app.images)
        self._heartbeat = Heartbeat(app, worker_id, self._in_flight)
        self._reports = Reports(app, classifier, worker_id)
        self._older_pictures = OlderPictures(app, scoring)
        self._compiling = IdleCompiling(executor, app.settings)
        self._cold = True
        self._warming: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._fault: WorkerFault | None = None
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; `run` puts back the jobs in flight and returns within a step."""
        self._stopping.set()
        self._woken.set()

    async def run(self, *, burst: bool = False) -> None:
        """Work until `stop` is called or, with ``burst``, until nothing is left to claim.

        Raises:
            WorkerBroken: the executor hangs or its device is lost. Its jobs have lost an attempt, all others wait
                again;
                this process must exit.
        """
        self._woken.set()
        beat_seconds = self._app.settings.lease_seconds / BEATS
        working = asyncio.create_task(self._work(burst), name="work")
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        background = [
            asyncio.create_task(_repeat(self._watch, 0), name="watch"),
            asyncio.create_task(_repeat(self._reports.write_steps, REPORT_SECONDS), name="report"),
            asyncio.create_task(_repeat(self._reports.write_previews, PREVIEW_SECONDS), name="show"),
            asyncio.create_task(_repeat(self._live, beat_seconds), name="live"),
            asyncio.create_task(_repeat(self._beat, beat_seconds), name="beat"),
            asyncio.create_task(_repeat(self._sign_in, REPORT_SECONDS), name="sign-in"),
            asyncio.create_task(_repeat(self._classify_again, POLL_SECONDS), name="look-again"),
            asyncio.create_task(_repeat(self._embed_older, EMBED_SECONDS), name="embed-older"),
            asyncio.create_task(_repeat(self._look_at_model_pictures, LOOK_SECONDS), name="model-pictures"),
            asyncio.create_task(_repeat(self._compile, COMPILE_SECONDS), name="compile"),
            asyncio.create_task(_repeat(lambda: tidy(self._app), TIDY_SECONDS), name="tidy"),
            asyncio.create_task(_repeat(lambda: trim(self._app), TRIM_SECONDS), name="trim"),
            asyncio.create_task(_repeat(lambda: merge_index(self._app.database), MERGE_SECONDS), name="merge"),
            asyncio.create_task(_repeat(self._try_storage, TRY_SECONDS), name="storage"),
        ]
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._executor.is_open:  # before that nothing is in flight, and an import need not be waited for
                await asyncio.wait({working}, timeout=STOP_SECONDS)
            if working.done():
                working.result()
        except WorkerBroken as broken:
            self._fault = broken.fault
        finally:
            beside = [task for task in (self._warming, self._opening) if task]
            await _cancel(working, stopping, *background, *beside, *self._in_flight.preparing)
            await self._wind_up()
        if self._fault:
            raise WorkerBroken(self._fault)

    # The loop: between two steps it claims and evicts, if a wake-up came.

    async def _work(self, burst: bool) -> None:
        await self._executor.open()
        self._opening = asyncio.create_task(self._classifier.open(), name="open-classifier")
        while not self._stopping.is_set():
            if self._woken.is_set() or self._app.jobs.queued.is_ringing:
                self._woken.clear()
                await self._look_around()
            if self._in_flight.has_work:
                await self._paint()
                if self._executor.is_idle and self._in_flight.painting:
                    await self._woken.wait()  # for the jobs to which animations leave the room
            elif self._woken.is_set():
                continue
            elif burst and self._in_flight.is_empty:
                return
            elif self._cold and not burst:
                self._cold = False
                self._warming = asyncio.create_task(self._warm_up(), name="warm-up")
            else:
                await self._woken.wait()

    async def _look_around(self) -> None:
        """Evict cancelled and lost jobs, take members' changes of the others, and claim what fits."""
        jobs = self._app.jobs
        try:
            for job_id in await jobs.end_cancelled(self.worker_id) | self._heartbeat.take_lost():
                self._drop(job_id)
            for job_id in await self._changes.read(self._in_flight):
                self._drop(job_id)
            if (room := self._room()) > 0:
                claimed = await jobs.claim(
                    self.worker_id,
                    capacity=room,
                    painting=self._in_flight.weights_key,
                    loaded=self._executor.loaded,
                    per_user=self._executor.per_user,
                    in_flight=self._in_flight.pixels_of_users,
                )
                for job in claimed:
                    self._take(job)
        except Exception as error:
            log.warning("worker_waits reason=%s", error_site(error))
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
            self._woken.set()

    def _room(self) -> int:
        """How many more pixels may be claimed now."""
        if self._storage.trouble:
            return 0
        tried_before = any(job.attempts > 1 for job in self._in_flight.jobs.values())
        if tried_before or len(self._in_flight.ending) >= self._executor.samples:
            return 0  # retried jobs are painted alone; a disk slower than the device must catch up
        return self._executor.room - self._in_flight.waiting_pixels

    def _take(self, job: Job) -> None:
        card = self._app.settings.cards.get(job.request["model"])
        if self._cold and card and job.kind in PAINTING:
            # While its prompt is made: the first loads of the image and the language model take seconds each.
            self._warming = asyncio.create_task(self._load(card), name="load")
        self._cold = False
        self._refinements.forget(job.id)
        self._begin(job, self._prepare(job))

    def _begin(self, job: Job, preparing: Coroutine[Any, Any, bool]) -> None:
        """Do what comes before a job is painted (again), beside the steps of others; True if it is."""
        task = asyncio.create_task(self._guard(job, preparing), name=f"prepare-{job.id}")
        self._in_flight.take(job, task)
        task.add_done_callback(lambda task: self._prepared(job, task))

    async def _prepare(self, job: Job) -> bool:
        """Do what comes before painting, or instead of it; False if there is nothing to paint (yet)."""
        if job.request["model"] not in self._app.settings.cards:  # the bot may have found a new model first
            await asyncio.to_thread(self._app.settings.find_models)
        if not await settle_input(self._app, self._classifier, job):
            return False
        if job.kind == JobKind.DESCRIBE:
            await describe(self._app, self._classifier, self._scoring, job)
            return False
        if not await settle_prompt(self._app, self._expander, job):
            return False
        if not await settle_part(self._app, self._scoring, job):
            return False
        if job.kind == JobKind.FINISH:
            work = finish_given if job.is_of_file else enlarge
            await work(self._app, self._classifier, self._scoring, job)
            return False
        return True

    def _prepared(self, job: Job, task: asyncio.Task[bool | None]) -> None:
        self._in_flight.settle(job, task, paint=bool(_result(task)))
        self._woken.set()

    def _drop(self, job_id: int) -> None:
        """Forget a job that is not this worker's any more; its row has its end, or another worker."""
        if self._in_flight.drop(job_id):
            log.info("job_dropped job=%s", job_id)
            self._reports.forget(job_id)
            self._explanations.forget(job_id)
            self._refinements.forget(job_id)

    # Pixels

    async def _paint(self) -> None:
        """Run one step of the executor and handle its events."""
        leaving, coming = self._in_flight.hand_over(self._executor.together)
        room, reserved = self._executor.room, self._in_flight.waiting_pixels
        model = next((job.request["model"] for job in self._in_flight.jobs.values()), None)
        try:
            requests = {str(job.id): self._next_request(job) for job in coming}
            events = await self._executor.paint(leaving, requests, self._changes.hand_over(), model, reserved)
        except WorkerBroken:
            raise
        except Exception as error:
            log.error("executor_stumbled reason=%s", error_site(error))
            events = [Failed(str(job.id), GenerationError(STUMBLED)) for job in self._in_flight.take_back()]
        lost = [event for event in events if isinstance(event, Failed) and isinstance(event.error, DeviceLost)]
        for event in events:
            if event not in lost:
                self._handle(event)
        if lost:
            raise WorkerBroken(DEVICE_LOST)
        if leaving or self._executor.room > room:
            self._woken.set()  # an animation leaves room between its frames

    def _next_request(self, job: Job) -> GenerationRequest:
        rounds = self._refinements if job.generation.refine else self._explanations
        return rounds.next_request(self._app, job)

    def _handle(self, event: Event | NotChanged) -> None:
        job = self._in_flight.jobs.get(int(event.key))
        if job is None:
            return
        match event:
            case Progress():
                before = self._explanations.steps_before(job) + self._refinements.steps_before(job)
                self._reports.stepped(job, event.step + before)
            case Preview():
                self._reports.previewed(job, event.image)
            case Finished():
                self._reports.finished(event.work)
                if job.kind == JobKind.EXPLAIN and self._explanations.has_another(job, event):
                    self._in_flight.again(job)
                elif job.generation.refine:
                    self._begin(job, self._refine(job, event))
                else:
                    self._let_go(job, self._store(job, self._explanations.take(job, event)))
            case NotChanged():
                self._changes.undo(job, event)
            case Failed():
                self._let_go(job, end_failed(self._app, job, event.error))

    def _let_go(self, job: Job, ending: Coroutine[Any, Any, None]) -> None:
        """A job has left the executor: write its result into its row while the next step runs."""
        self._reports.forget(job.id)
        self._explanations.forget(job.id)
        self._refinements.forget(job.id)
        task = asyncio.create_task(self._guard(job, ending), name=f"end-{job.id}")
        self._in_flight.let_go(job, task)
        task.add_done_callback(lambda task: self._ended(job, task))
        self._woken.set()

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        _result(task)
        self._in_flight.ended(job, task)
        self._woken.set()

    # Ends

    async def _store(self, job: Job, paintings: Sequence[Finished], selected: Sequence[SelectedPicture] = ()) -> None:
        if job.kind == JobKind.EXPLAIN:
            results = await from_explanation(self._app, self._scoring, job, paintings)
        else:
            results = await from_painting(self._app, self._scoring, job, paintings[-1], selected)
        took = {name: sum(getattr(one, name) for one in paintings) for name in ("seconds", "busy_seconds")}
        beside = (self._classifier, self._scoring)
        await hand_in(self._app, *beside, job, results, **took, paintings=len(paintings))

    async def _refine(self, job: Job, finished: Finished) -> bool:
        """Read the pictures of a round back; True if another one is painted, otherwise they are stored."""
        if await self._refinements.goes_on(self._scoring, job, finished):
            return True
        self._reports.forget(job.id)
        refinement = self._refinements.take(job)
        job.notes = {**job.notes, REFINED: note(refinement)}
        await self._store(job, refinement.paintings, selected(refinement))
        return False

    def _guard(self, job: Job, work: Awaitable[T]) -> Coroutine[Any, Any, T | None]:
        return guarded(self._app, self._storage, job, work)

    async def _wind_up(self) -> None:
        """On stopping, store what is painted and put the rest back."""
        if self._in_flight.ending:
            await asyncio.wait(self._in_flight.ending, timeout=STOP_SECONDS)
        await _cancel(*self._in_flight.ending)
        with contextlib.suppress(TimeoutError):  # the leases expire by themselves
            async with asyncio.timeout(STOP_SECONDS):
                await patiently(lambda: self._app.jobs.end_cancelled(self.worker_id))
                if self._fault:
                    await charge(self._app, self._in_flight.painting, self._fault)
                await patiently(lambda: self._app.jobs.put_back(self.worker_id))
                await patiently(lambda: self._app.worker_registry.remove(self.worker_id))
                if not self._fault:
                    await self._executor.close()
                await self._expander.close()
                self._classifier.close()
                self._scoring.close()

    # Beside the loop

    async def _watch(self) -> None:
        await self._app.jobs.queued.wait(timeout=POLL_SECONDS)
        self._woken.set()

    async def _live(self) -> None:
        if self._executor.is_open:  # an import may block the loop for long without harm
            for beat in self.beats:
                beat()

    async def _beat(self) -> None:
        await self._heartbeat.beat()
        self._woken.set()

    async def _embed_older(self) -> None:
        """Embed pictures of earlier requests while there is nothing to paint."""
        if self._has_nothing_to_do():
            await self._older_pictures.embed()

    async def _look_at_model_pictures(self) -> None:
        if self._has_nothing_to_do():
            await look_at_model_pictures(self._app, self._classifier)

    async def _compile(self) -> None:
        await self._compiling.advance(self._has_nothing_to_do)

    def _has_nothing_to_do(self) -> bool:
        is_warm = not self._cold and (self._warming is None or self._warming.done())
        return is_warm and self._in_flight.is_empty

    async def _classify_again(self) -> None:
        await classify_again(self._app, self._classifier)

    async def _sign_in(self) -> None:
        room = self._executor.room - self._in_flight.waiting_pixels
        state = State(self._executor.loaded, self._in_flight.weights_key, self._storage.trouble)
        await self._reports.sign_in(state, room)

    async def _try_storage(self) -> None:
        if await self._storage.recovered():
            self._woken.set()

    async def _warm_up(self) -> None:
        """Load the default model, and a language model on this machine beside it, in advance."""
        settings = self._app.settings
        words = min(1, settings.default_card.max_added_words) if not settings.expander_url else 0
        expanding = asyncio.create_task(
            self._expander.expand(WARM_UP, locale="en-US", seed=0, max_words=words), name="warm-up-expander"
        )
        try:
            await self._load(settings.default_card)
            await expanding
        finally:
            await _cancel(expanding)

    async def _load(self, card: ModelCard) -> None:
        """Load a model before its first request is ready to be painted; an error is left to that request."""
        try:
            await self._executor.warm_up(card, WARM_UP)
        except WorkerBroken as broken:
            self._fault = broken.fault
            self.stop()


async def _repeat(work: Callable[[], Awaitable[None]], pause: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:
            log.warning("worker_waits reason=%s", error_site(error))
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
        await asyncio.sleep(pause)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _result(task: asyncio.Task[T]) -> T | None:
    """The task's result; None if it was cancelled, or could not even store its failure."""
    if task.cancelled():
        return None
    if error := task.exception():
        log.error("job_stranded task=%s reason=%s", task.get_name(), error_site(error))
        return None
    return task.result()
