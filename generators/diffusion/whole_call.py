"""Pipelines that cannot share calls: whole calls for requests with equal parameters, suspended at each step."""

# pyright: basic

from __future__ import annotations

import inspect
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from limner.generators.base import Event, Failed, Finished, Preview, Progress
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.pipelines import Pipelines, arguments
from limner.generators.diffusion.preview import Previewer, Watch
from limner.generators.diffusion.suspended_call import SuspendedCall
from limner.generators.errors import BadRequest, GenerationError, NotNumbers, OutOfMemory
from limner.generators.failures import understand
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from PIL import Image


class WholeCalls:
    """Paints requests with calls of a diffusers pipeline, one at a time: requests with equal parameters in one call.

    The call is suspended after each step, so it can report or be dropped there. Requests that come meanwhile wait for
    the next call, whose parameters are those of the oldest. A pipeline without ``callback_on_step_end`` runs to its end
    in one step. Each video is a call of its own.

    Args:
        pipelines: the pipeline, and schedulers for it.
        ladder: the samples of one call, and what to give up when they do not fit.
        previewer: makes previews; None for none.
        prepare: sets the models up for a call of requests like this one; raises GenerationError.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        ladder: Ladder,
        previewer: Previewer | None,
        prepare: Callable[[GenerationRequest], None],
    ) -> None:
        self._pipelines = pipelines
        self._prepare = prepare
        self._ladder = ladder
        self._previewer = previewer
        self._orders: dict[str, _Order] = {}  # the oldest is first
        self._parts: deque[list[_Sample]] = deque()  # samples still to be painted of the requests in the current call
        self._call: _PipelineCall | None = None

    @property
    def requests(self) -> list[GenerationRequest]:
        """All admitted requests."""
        return [order.request for order in self._orders.values()]

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request.

        Raises:
            BadRequest: the pipeline does not support it.
        """
        arguments(self._pipelines.pipeline(request), request)
        self._pipelines.scheduler(request.scheduler)
        self._orders[key] = _Order(key, request)

    def step(self) -> list[Event]:
        """Take one step of the current call, or of the next one."""
        samples = self._call.samples if self._call else self._next_samples()
        if not samples:
            return []
        started = time.perf_counter()
        pixels = samples[0][0].pixels
        with torch.no_grad(), self._ladder.tiling(pixels):
            self._call = self._call or _PipelineCall(self._pipelines, samples, self._prepare)
            self._call.go_on()
        share = (time.perf_counter() - started) / len(samples)
        for order, _ in samples:
            order.busy += share
        events: list[Event] = []
        if self._call.failure is None:
            events += self._progress(self._call)
            events += self._previews(self._call)
        if self._call.ended:
            events += self._settle(self._call)
            self._call = None
        return events

    def evict(self, key: str) -> None:
        """Drop a request; its call is dropped too if no other request needs it."""
        self._orders.pop(key, None)
        if self._call and not any(order is self._orders.get(order.key) for order, _ in self._call.samples):
            self.stop()

    def stop(self) -> None:
        """Drop the current call, if there is one."""
        if self._call:
            self._call.stop()
            self._call = None
            self._pipelines.loaded.maybe_free_model_hooks()

    def _next_samples(self) -> list[_Sample]:
        while self._parts:
            wanted = [sample for sample in self._parts.popleft() if self._is_in(sample[0])]
            if wanted:
                return wanted
        if not self._orders:
            return []
        oldest = next(iter(self._orders.values()))
        alike = [order for order in self._orders.values() if order.parameters == oldest.parameters]
        samples = [(order, i) for order in alike for i in range(order.count)]
        size = 1 if oldest.request.is_video else self._ladder.rows(oldest.pixels, decoding=True)
        self._parts.extend(samples[start : start + size] for start in range(0, len(samples), size))
        return self._parts.popleft()

    def _progress(self, call: _PipelineCall) -> list[Event]:
        """The progress of each request in the call, including earlier calls; a video's step counts for each frame."""
        mine = {order: [each for each, _ in call.samples].count(order) for order, _ in call.samples}
        taken = {
            order: (len(order.results) * call.steps + count * call.step) // order.count for order, count in mine.items()
        }
        return [
            Progress(order.key, step * order.request.frames, call.steps * order.request.frames)
            for order, step in taken.items()
            if self._is_in(order)
        ]

    def _previews(self, call: _PipelineCall) -> Iterator[Event]:
        latents = self._previewer and not call.ended and self._previewer.look(call.watch)
        if self._previewer and isinstance(latents, torch.Tensor):
            for order in {order: None for order, _ in call.samples if self._is_in(order)}:
                rows = [i for i, (each, _) in enumerate(call.samples) if each is order]
                image = self._previewer.paint(_of_middle_frame(latents[rows]), order.request)
                if image is not None:
                    yield Preview(order.key, image)

    def _settle(self, call: _PipelineCall) -> list[Event]:
        """Distribute a finished call's pictures, or line its samples up for smaller calls."""
        if call.failure is not None and self._retry(call.samples, call.failure):
            return []
        for i, (order, number) in enumerate(call.samples):
            order.results[number] = call.failure or call.results[i]
        orders = {order: None for order, _ in call.samples if self._is_in(order)}
        return [event for order in orders for event in self._leave(order)]

    def _retry(self, samples: list[_Sample], failure: GenerationError) -> bool:
        """Line the samples up again in halves, or as they are if memory can be freed."""
        pixels, half = samples[0][0].pixels, len(samples) // 2
        short = isinstance(failure, OutOfMemory)
        again = self._ladder.give_up(len(samples), pixels, decoding=True) if short else half > 0
        if again:
            self._parts.extendleft(part for part in (samples[half:], samples[:half]) if part)
        return again

    def _leave(self, order: _Order) -> list[Event]:
        error = next((result for result in order.results.values() if isinstance(result, GenerationError)), None)
        if error is None and len(order.results) < order.count:
            return []
        del self._orders[order.key]
        if error is not None:
            return [Failed(order.key, error)]
        painted = [order.results[i] for i in range(order.count)]
        images = [image for images in painted if not isinstance(images, GenerationError) for image in images]
        seeds = [seed for seed in order.request.seeds for _ in range(order.request.frames)]
        seconds = time.perf_counter() - order.admitted
        unread = self._pipelines.unread(order.request)
        return [Finished(order.key, images, seeds, seconds, order.busy, *unread)]

    def _is_in(self, order: _Order) -> bool:
        return self._orders.get(order.key) is order


@dataclass(eq=False)
class _Order:
    """An admitted request, and by index each sample's picture, or frames, or error."""

    key: str
    request: GenerationRequest
    admitted: float = field(default_factory=time.perf_counter)
    busy: float = 0.0
    results: dict[int, _Result] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.request.num_images_per_prompt

    @property
    def pixels(self) -> int:
        return self.request.pixels_at_once

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters that must be equal in one call: a negative prompt may change a pipeline's path."""
        request = self.request
        negative = bool(request.negative_prompt)
        shape = request.batch_key, request.frames
        return *shape, request.num_inference_steps, request.guidance_scale, request.scheduler, negative


_Sample = tuple[_Order, int]
_Result = list["Image.Image"] | GenerationError


class _PipelineCall:
    """One call of the pipeline, suspended after each step until `go_on`."""

    def __init__(
        self, pipelines: Pipelines, samples: list[_Sample], prepare: Callable[[GenerationRequest], None]
    ) -> None:
        self.samples = samples
        request = samples[0][0].request
        self.step, self.steps = 0, request.num_inference_steps
        self.failure: GenerationError | None = None
        self.results: list[_Result] = []
        self._prepare = prepare
        self._pipe: Any = pipelines.pipeline(request)
        self._pipe.scheduler = pipelines.scheduler(request.scheduler)
        self.watch = Watch(self._pipe.scheduler)
        self._loop = SuspendedCall(self._paint)

    @property
    def ended(self) -> bool:
        return self._loop.ended

    def go_on(self) -> None:
        """Take one more step, the last one with everything after it; errors go to `failure`."""
        try:
            output = self._loop.go_on()
        except GenerationError as error:
            self.failure = error
        except ValueError:
            self.failure = BadRequest()
        except Exception as error:
            self.failure = understand(error)
        else:
            if self.ended:
                self.step = self.steps
                self.results = self._pictures(output)

    def stop(self) -> None:
        """End the call at its current point."""
        self._loop.stop()

    def _paint(self) -> Any:
        self._prepare(self.samples[0][0].request)
        return self._pipe(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        """The first request's arguments, with the prompts and random generators of each sample."""
        requests = [order.request for order, _ in self.samples]
        given = arguments(self._pipe, requests[0])
        given.pop("num_images_per_prompt", None)
        given["prompt"] = [request.prompt for request in requests]
        if requests[0].negative_prompt:
            given["negative_prompt"] = [request.negative_prompt for request in requests]
        given["generator"] = [torch.Generator().manual_seed(order.request.seeds[i]) for order, i in self.samples]
        if "callback_on_step_end" in inspect.signature(self._pipe.__call__).parameters:
            given["callback_on_step_end"] = self._note
        return {**given, "output_type": "np"}

    def _note(self, pipe: Any, step: int, _time: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        self.step, self.steps = step + 1, getattr(pipe, "num_timesteps", self.steps)
        if self.step < self.steps:
            self._loop.pause()
        return {}

    def _pictures(self, output: Any) -> list[_Result]:
        unsafe = getattr(output, "nsfw_content_detected", None) or [False] * len(self.samples)
        refusal = BadRequest(
            sentence("The model's own safety check held this picture back; change the words or the seed.")
        )
        painted = output.frames if self.samples[0][0].request.is_video else output.images
        return [
            refusal if bad else self._picture(order.request, pixels)
            for (order, _), pixels, bad in zip(self.samples, painted, unsafe, strict=True)
        ]

    def _picture(self, request: GenerationRequest, pixels: Any) -> _Result:
        if math.isfinite(pixels.sum()):
            return self._pipe.numpy_to_pil(pixels)
        return NotNumbers.blaming(request, str(self._pipe.dtype).removeprefix("torch."))


def _of_middle_frame(latents: torch.Tensor) -> torch.Tensor:
    """Of a video's latents those of the frame in its middle; a picture's are as they were."""
    return latents[:, :, latents.shape[2] // 2] if latents.ndim == 5 else latents
