"""Runs the executor in its own thread with a timeout for each call."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from limner.bot.importing import importing
from limner.bot.queue.faults import DEVICE_LOST, HUNG, WorkerBroken
from limner.bot.settings import Settings
from limner.generators.base import FIRST_BATCH, Event, Failed
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import DeviceLost, GenerationError
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    from limner.generators.executor import Executor

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Interval at which a running call's time is checked."""

T = TypeVar("T")


@dataclass(frozen=True)
class NotChanged:
    """A request in progress continues without a change: another prompt, or an early end (None)."""

    key: str
    prompt: str | None
    error: GenerationError


@dataclass(frozen=True, eq=False)
class _Limit:
    """The time limit of the thread's current activity; a new object for each one."""

    seconds: float = math.inf


class ExecutorThread:
    """Runs the executor one call at a time without blocking the event loop.

    A call that takes longer than ``step_timeout`` (``load_timeout`` while loading a model) raises `WorkerBroken`, and
    so does a lost device: the thread cannot be stopped, so the process has to exit.
    """

    def __init__(self, executor: Executor, settings: Settings) -> None:
        self.room = executor.capacity(settings.default_card.name)
        """Free capacity in pixels, beside the current batch."""
        self.together = self.room
        """Pixels that are worth painting at once: more take proportionally longer."""
        self.loaded: tuple[str, ...] = ()
        """The weights keys in memory (`GenerationRequest.weights_key`)."""
        self.is_idle = True
        """Whether nothing was painted in the last step, as animations left all room to requests that come next."""
        self.is_open = False
        self._executor = executor
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="executor")
        self._limit = _Limit()
        self._model = settings.default_card.name  # what was painted last

    @property
    def per_user(self) -> float:
        """Most pixels of one user at a time: one batch, and one picture in preparation."""
        card = self._settings.cards[self._model]
        return self.together + card.width * card.height

    @property
    def samples(self) -> int:
        """Pictures of the model's own size in one batch; not fewer than before anything is measured."""
        card = self._settings.cards[self._model]
        return max(self._settings.most_samples or FIRST_BATCH, self.together // (card.width * card.height))

    async def open(self) -> None:
        """Import the generators and test the device before any job is claimed."""
        # Before another thread imports a language model: both share libraries with import cycles.
        await self._call(self._open, {card.kind for card in self._settings.cards.values()})
        self.is_open = True

    async def paint(
        self,
        leaving: Collection[str],
        coming: Mapping[str, GenerationRequest],
        changes: Mapping[str, Sequence[str | None]],
        model: str | None,
        reserved: int,
    ) -> list[Event | NotChanged]:
        """One step: evict the leaving jobs, admit the coming ones by their keys, change others; returns the events.

        ``reserved`` are the pixels of jobs that come in one of the next steps.
        """
        return await self._call(self._paint, leaving, coming, changes, model, reserved)

    async def warm_up(self, card: ModelCard, key: str) -> None:
        """Load a model in advance."""
        await self._call(self._warm_up, card, key)

    async def compile_next(self) -> tuple[str, str] | None:
        """Compile for one more size of calls: `Executor.compile_next`."""
        return await self._call(self._executor.compile_next)

    async def compile_tried(self, model: str, found: dict[str, Any] | None) -> None:
        """Take the outcome of a trial."""
        await self._call(self._executor.compile_tried, model, found)

    async def close(self) -> None:
        """Free the device, if it responds; the process exits next."""
        if self.is_open and self._limit.seconds == math.inf:
            await self._call(self._executor.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, work, *arguments)
        limit, looks = self._limit, 0  # checks are counted, not time: this process may have been suspended
        try:
            while not call.done():
                await asyncio.wait({call}, timeout=LOOK_SECONDS)
                limit, looks = (limit, looks + 1) if limit is self._limit else (self._limit, 1)
                if not call.done() and looks * LOOK_SECONDS > limit.seconds:
                    log.error("executor_hangs call=%s", work.__name__)
                    raise WorkerBroken(HUNG)
            return call.result()
        except DeviceLost as error:
            raise WorkerBroken(DEVICE_LOST) from error
        finally:
            call.cancel()

    # In the thread.

    def _timed(self, work: Callable[..., T], *arguments: Any) -> T:
        self._allow(self._settings.load_timeout)
        try:
            return work(*arguments)
        finally:
            self._limit = _Limit()

    def _allow(self, seconds: float) -> None:
        self._limit = _Limit(seconds)

    def _open(self, kinds: set[str]) -> None:
        with importing():
            for entry in entry_points(group="limner.generators"):
                if entry.name in kinds:
                    entry.load()
        self._executor.check()

    def _paint(
        self,
        leaving: Collection[str],
        coming: Mapping[str, GenerationRequest],
        changes: Mapping[str, Sequence[str | None]],
        model: str | None,
        reserved: int,
    ) -> list[Event | NotChanged]:
        self._allow(self._settings.step_timeout)
        for key in leaving:
            self._executor.evict(key)
        events: list[Event | NotChanged] = []
        for key, request in coming.items():
            try:
                self._admit(key, request)
            except DeviceLost:
                raise
            except GenerationError as error:
                events.append(Failed(key, error))
        self._allow(self._settings.step_timeout)
        for key, prompts in changes.items():
            events += self._change(key, prompts)
        events += self._executor.step(reserved)
        self.is_idle = self._executor.is_idle
        self._model = model or self._model
        self.room = self._executor.capacity(self._model)
        self.together = self._executor.together(self._model)
        return events

    def _change(self, key: str, prompts: Sequence[str | None]) -> Iterator[NotChanged]:
        for prompt in prompts:
            try:
                self._executor.change(key, prompt)
            except DeviceLost:
                raise
            except GenerationError as error:
                yield NotChanged(key, prompt, error)

    def _admit(self, key: str, request: GenerationRequest) -> None:
        is_loaded = request.model in self._executor.loaded
        self._allow(self._settings.step_timeout if is_loaded else self._settings.load_timeout)
        self._executor.admit(key, request)
        self.together = self._executor.together(request.model)
        self.loaded = tuple(sorted({f"{model}|" for model in self._executor.loaded} | {request.weights_key}))

    def _warm_up(self, card: ModelCard, key: str) -> None:
        request = GenerationRequest(
            prompt="",
            model=card.name,
            width=card.width,
            height=card.height,
            num_inference_steps=1,
            guidance_scale=card.guidance_scale,
            seed=0,
            animation=card.video.shortest if card.video else None,
        )
        if self._executor.in_flight:
            return  # a job came first, and its model stays in memory
        try:
            self._admit(key, request)
            self._executor.evict(key)
        except DeviceLost:
            raise
        except GenerationError:
            pass  # the executor has logged it; the first job gets the error
