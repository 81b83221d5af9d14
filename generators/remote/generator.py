"""Generator for models that servers paint: one call for each sample, many at the same time, in a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import ClassVar, Protocol, Self

from PIL import Image

from limner.generators.base import FIRST_BATCH, Event, Failed, Finished
from limner.generators.cards.model_card import ImagesServer, ModelCard
from limner.generators.errors import BadRequest, GenerationError, ModelNotFound, NoLora, error_site
from limner.generators.measured import Measured
from limner.generators.remote.progress import RequestProgress, SampleProgress
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

log = logging.getLogger(__name__)

TICK = 0.05
"""Longest wait of one step in seconds, which delays new requests and cancellations."""

NOT_TAKEN = sentence("The server of this model takes no such picture or scheduler; ask again without it.")
ONE_LORA = sentence("This model takes one LoRA at a time; leave the others out.")
FULL = sentence("The server of this model has as many requests as it may have; ask again in a moment.")
STUMBLED = sentence("The server of this model could not be asked; ask again in a moment.")


class RemoteClient(Protocol):
    """What asks the servers of one model."""

    @property
    def unused(self) -> tuple[str, ...]:
        """The options that the servers were seen to do nothing with."""
        ...

    async def paint(self, request: GenerationRequest, seed: int, progress: SampleProgress) -> Image.Image:
        """Paint one picture; raises GenerationError. A cancelled call stops the server's work, where it can be."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass
class _Painting:
    request: GenerationRequest
    admitted: float
    busy: float = 0.0
    call: Future[None] | None = None


class RemoteGenerator(ABC):
    """Sends each sample to a server as a request of its own, many at the same time.

    One sample per call, because image ``i`` has the seed ``seed + i``, so that each can be repeated alone.

    Attributes:
        no_server: what a card without servers is refused with.
    """

    no_server: ClassVar[str]

    def __init__(self, client: RemoteClient, card: ModelCard, batch: int) -> None:
        self._client = client
        self._card = card
        self._budget = batch * card.width * card.height
        self._paintings: dict[str, _Painting] = {}
        self._events: SimpleQueue[tuple[_Painting, Callable[[], Event]]] = SimpleQueue()
        self._ticked = time.perf_counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls,
        card: ModelCard,
        *,
        device: str,
        dtype: str,
        offload: str,
        max_batch: int | None,
        previews: float,
        measured: Measured | None = None,
    ) -> Self:
        """Get ready to ask ``card.server``; nothing is sent before the first `step`.

        Args:
            card: the model, with its servers.
            device: not used; the servers have their own.
            dtype: not used.
            offload: not used.
            max_batch: samples of the card's own size that each server is asked for at the same time; None:
                `FIRST_BATCH`.
            previews: not used; the servers' own settings and ``card.streams`` say whether there are any.
            measured: not used.

        Raises:
            ModelNotFound: the card has no server, or the servers cannot be asked for its source.
        """
        if card.server is None:
            raise ModelNotFound(cls.no_server)
        batch = (max_batch or FIRST_BATCH) * len(card.server.addresses)
        return cls(cls.open_client(card, card.server), card, batch)

    @classmethod
    @abstractmethod
    def open_client(cls, card: ModelCard, server: ImagesServer) -> RemoteClient:
        """The client of the kind of servers; raises ModelNotFound if it cannot ask them for ``card.source``."""

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request; it is sent with the next `step`."""
        _check(self._card, request)
        if self._paintings and request.pixels > self.capacity():
            raise GenerationError(FULL)
        now = time.perf_counter()
        if not self._paintings:
            self._ticked = now
        self._paintings[key] = _Painting(request, now)

    def step(self) -> list[Event]:
        """Send new requests, wait a moment, and return the events of those in progress."""
        for key, painting in self._paintings.items():
            if painting.call is None:
                painting.call = asyncio.run_coroutine_threadsafe(self._paint(key, painting), self._loop)
        received: list[tuple[_Painting, Callable[[], Event]]] = []
        with contextlib.suppress(Empty):
            received.append(self._events.get(timeout=TICK if self._paintings else 0))
            while True:
                received.append(self._events.get_nowait())
        self._share_time()
        return [self._left(make()) for painting, make in received if painting in self._paintings.values()]

    def evict(self, key: str) -> None:
        """Drop a request's connection now; the server may or may not stop painting it."""
        painting = self._paintings.pop(key, None)
        if painting and painting.call:
            painting.call.cancel()

    def capacity(self) -> int:
        """How many more pixels may be requested."""
        return max(0, self._budget - sum(painting.request.pixels for painting in self._paintings.values()))

    def together(self) -> int:
        """All that may be requested: the server batches by itself."""
        return self._budget

    def close(self) -> None:
        """Close all connections and end the thread."""
        for key in list(self._paintings):
            self.evict(key)
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _hang_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def _paint(self, key: str, painting: _Painting) -> None:
        request = painting.request

        def tell(event: Event) -> None:
            self._events.put((painting, lambda: event))

        progress = RequestProgress(key, request.num_images_per_prompt, request.steps, tell)
        calls = [
            asyncio.ensure_future(self._client.paint(request, seed, SampleProgress(progress, sample)))
            for sample, seed in enumerate(request.seeds)
        ]
        try:
            images = list(await asyncio.gather(*calls))
            self._events.put((painting, lambda: self._finished(key, painting, images)))
        except GenerationError as error:
            log.warning("remote_failed model=%s reason=%s", request.model, error_site(error))
            tell(Failed(key, error))
        except Exception as error:
            log.error("remote_failed model=%s reason=%s", request.model, error_site(error))
            tell(Failed(key, GenerationError(STUMBLED)))
        finally:
            for call in calls:
                call.cancel()

    def _share_time(self) -> None:
        """Divide the time since the last step among the samples in progress."""
        now = time.perf_counter()
        passed, self._ticked = now - self._ticked, now
        samples = sum(painting.request.num_images_per_prompt for painting in self._paintings.values())
        for painting in self._paintings.values():
            painting.busy += passed * painting.request.num_images_per_prompt / samples

    def _finished(self, key: str, painting: _Painting, images: list[Image.Image]) -> Finished:
        seconds = time.perf_counter() - painting.admitted
        return Finished(key, images, painting.request.seeds, seconds, painting.busy, unused=self._client.unused)

    def _left(self, event: Event) -> Event:
        if isinstance(event, Finished | Failed):
            del self._paintings[event.key]
        return event


def _check(card: ModelCard, request: GenerationRequest) -> None:
    """Raise BadRequest for what the card says that its server does not take."""
    if request.loras and not card.takes_loras:
        raise NoLora
    if len(request.loras) > 1 and card.one_lora:
        raise BadRequest(ONE_LORA)
    roles = {one.role for one in request.references}
    is_taken = (
        (card.starts or not request.init_image)
        and (card.masks or not (request.mask or request.box))
        and roles <= card.adapters.keys()
        and (not request.scheduler or request.scheduler in card.samplers)
    )
    if not is_taken:
        raise BadRequest(NOT_TAKEN)
