"""The painter: the executor in a thread of its own, and a clock on each of its calls."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from limner.bot.importing import importing
from limner.bot.queue.faults import DEVICE_LOST, HUNG, WorkerBroken
from limner.bot.settings import Settings
from limner.generators.base import FIRST_BATCH, DeviceLost, Event, Failed, GenerationError, GenerationRequest, ModelCard

if TYPE_CHECKING:
    from limner.generators.executor import Executor

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often somebody looks at the clock of a call that takes long."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Limit:
    """How long what the thread does now may take; a new one for each thing that it does."""

    seconds: float = math.inf


class ExecutorThread:
    """Lets the executor work, one call at a time, without ever blocking the event loop.

    A call that takes longer than ``step_timeout`` (or ``load_timeout``, where it loads a model) raises `WorkerBroken`
    in whoever waits for it, and so does a lost device: the thread cannot be ended, so the process has to be.
    """

    def __init__(self, executor: Executor, settings: Settings) -> None:
        self.room = executor.capacity(settings.default_card.name)
        """Pixels that still fit beside those that are being painted."""
        self.together = self.room
        """Pixels that are worth painting at once: more take as much longer."""
        self.loaded: tuple[str, ...] = ()
        """The weights keys in memory (`GenerationRequest.weights_key`)."""
        self.is_open = False
        self._executor = executor
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="executor")
        self._limit = _Limit()
        self._model = settings.default_card.name  # what was painted last

    @property
    def per_user(self) -> float:
        """Pixels that one user may have here: what is painted at once, and one picture that is prepared meanwhile."""
        card = self._settings.cards[self._model]
        return self.together + card.width * card.height

    @property
    def samples(self) -> int:
        """Pictures of the model's own size that are painted at once, and no fewer than before anything is measured."""
        card = self._settings.cards[self._model]
        return max(self._settings.most_samples or FIRST_BATCH, self.together // (card.width * card.height))

    async def open(self) -> None:
        """Import the painters and try the device, before there is a job that could be lost."""
        # Also before any language model is imported in another thread: the two share libraries that import in circles.
        await self._call(self._open, {card.kind for card in self._settings.cards.values()})
        self.is_open = True

    async def paint(
        self, leaving: Collection[str], coming: Mapping[str, GenerationRequest], model: str | None
    ) -> list[Event]:
        """One step: who leaves goes first, then newcomers come in, by their keys; what happened to each."""
        return await self._call(self._paint, leaving, coming, model)

    async def warm_up(self, card: ModelCard, key: str) -> None:
        """Load a model while nobody waits for it."""
        await self._call(self._warm_up, card, key)

    async def close(self) -> None:
        """Free the device, if it answers; the process is about to end."""
        if self.is_open and self._limit.seconds == math.inf:
            await self._call(self._executor.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, work, *arguments)
        limit, looks = self._limit, 0  # looks and not the clock are counted: this process may have been frozen
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
            for painter in entry_points(group="limner.generators"):
                if painter.name in kinds:
                    painter.load()
        self._executor.check()

    def _paint(
        self, leaving: Collection[str], coming: Mapping[str, GenerationRequest], model: str | None
    ) -> list[Event]:
        self._allow(self._settings.step_timeout)
        for key in leaving:
            self._executor.evict(key)
        events: list[Event] = []
        for key, request in coming.items():
            try:
                self._admit(key, request)
            except DeviceLost:
                raise
            except GenerationError as error:
                events.append(Failed(key, error))
        self._allow(self._settings.step_timeout)
        events += self._executor.step()
        self._model = model or self._model
        self.room = self._executor.capacity(self._model)
        self.together = self._executor.together(self._model)
        return events

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
        )
        if self._executor.in_flight:
            return  # a job has come first, and its model is not to be put out of memory for this
        try:
            self._admit(key, request)
            self._executor.evict(key)
        except DeviceLost:
            raise
        except GenerationError:
            pass  # the executor has logged it; the first job will hear of it
