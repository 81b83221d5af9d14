"""Generator for OpenAI-compatible images servers: vLLM-Omni, SGLang-Diffusion, LocalAI, or a hosted one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Self

from PIL import Image

from limner.generators.base import FIRST_BATCH, Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest, GenerationError, ModelNotFound, error_site
from limner.generators.measured import Measured
from limner.generators.remote.images_client import BUSY, NOT_FOUND, ImagesClient
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

log = logging.getLogger(__name__)

TICK = 0.05
"""Longest wait of one step in seconds, which delays new requests and cancellations."""

WORDS_ONLY = sentence("The images server paints from words alone; ask without a picture, a LoRA or a scheduler.")


@dataclass
class _Painting:
    request: GenerationRequest
    admitted: float
    busy: float = 0.0
    call: Future[None] | None = None


class OpenAIImagesGenerator:
    """Sends each sample to an images server as a request of its own, many at the same time.

    One sample per call, because image ``i`` has the seed ``seed + i``, and hosted models paint one per call. The server
    reports no steps; a picture of another size than requested is used as it is.
    """

    def __init__(self, client: ImagesClient, pixels: int) -> None:
        self._client = client
        self._budget = pixels
        self._paintings: dict[str, _Painting] = {}
        self._ends: SimpleQueue[tuple[str, _Painting, list[Image.Image] | GenerationError]] = SimpleQueue()
        self._ticked = time.perf_counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="images-server", daemon=True)
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
        """Get ready to ask ``card.server`` for its model ``card.source``; nothing is sent before the first `step`.

        Args:
            card: the model, with its server.
            device: not used; the server has its own.
            dtype: not used.
            offload: not used.
            max_batch: samples of the card's own size that the server is asked for at the same time; None:
                `FIRST_BATCH`.
            previews: not used; the server shows none.
            measured: not used.
        """
        if card.server is None:
            raise ModelNotFound(NOT_FOUND)
        return cls(ImagesClient(card.server, card.source), (max_batch or FIRST_BATCH) * card.width * card.height)

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request; it is sent with the next `step`."""
        if request.is_from_picture or request.loras or request.scheduler:
            raise BadRequest(WORDS_ONLY)
        if self._paintings and request.pixels > self.capacity():
            raise GenerationError(BUSY)
        now = time.perf_counter()
        if not self._paintings:
            self._ticked = now
        self._paintings[key] = _Painting(request, now)

    def step(self) -> list[Event]:
        """Send new requests, wait a moment, and return the events of finished ones."""
        for key, painting in self._paintings.items():
            if painting.call is None:
                painting.call = asyncio.run_coroutine_threadsafe(self._paint(key, painting), self._loop)
        ends: list[tuple[str, _Painting, list[Image.Image] | GenerationError]] = []
        with contextlib.suppress(Empty):
            ends.append(self._ends.get(timeout=TICK if self._paintings else 0))
            while True:
                ends.append(self._ends.get_nowait())
        self._share_time()
        return [self._end(*end) for end in ends if self._paintings.get(end[0]) is end[1]]

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
        calls = [asyncio.ensure_future(self._client.paint(request, seed)) for seed in request.seeds]
        try:
            self._ends.put((key, painting, list(await asyncio.gather(*calls))))
        except GenerationError as error:
            log.warning("images_server_failed model=%s reason=%s", request.model, error_site(error))
            self._ends.put((key, painting, error))
        except Exception as error:
            log.error("images_server_failed model=%s reason=%s", request.model, error_site(error))
            self._ends.put((key, painting, GenerationError(BUSY)))
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

    def _end(self, key: str, painting: _Painting, end: list[Image.Image] | GenerationError) -> Event:
        del self._paintings[key]
        if isinstance(end, GenerationError):
            return Failed(key, end)
        seconds = time.perf_counter() - painting.admitted
        return Finished(key, end, painting.request.seeds, seconds, painting.busy, unused=self._client.unused)
