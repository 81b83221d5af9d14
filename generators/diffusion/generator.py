"""Any Hugging Face diffusers pipeline; known families paint many requests together, step by step."""

# pyright: basic

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from accelerate.utils.memory import clear_device_cache

from limner.generators.base import FIRST_BATCH, Event, Failed, Finished, Preview, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.device import pick_device, title_of
from limner.generators.diffusion.admission import Admission
from limner.generators.diffusion.attention_backends import choose_backend, set_backend
from limner.generators.diffusion.autoencoders import replace_autoencoder
from limner.generators.diffusion.batch_size import (
    BatchSize,
    measured_batch,
    samples_in,
    seconds_a_step,
    timed_request,
)
from limner.generators.diffusion.compiled_blocks import Compilation, CompiledBlocks, measure_sizes
from limner.generators.diffusion.decoder import Decoder
from limner.generators.diffusion.flight import Flight
from limner.generators.diffusion.formats import FASTEST, Format, fastest_format
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.memory import Budget, budget, need_memory, releasable, weights
from limner.generators.diffusion.pipelines import Pipelines, pick_dtype, place, read_pipeline
from limner.generators.diffusion.preview import Previewer, make_previewer
from limner.generators.diffusion.quantization import quantize
from limner.generators.diffusion.stacked_calls import Call, Rows, Stacker
from limner.generators.diffusion.step_groups import calls_of, groups_of, next_flights, sharing_time
from limner.generators.diffusion.textual_inversion import TextualInversions
from limner.generators.diffusion.whole_call import WholeCalls
from limner.generators.errors import CANNOT_CHANGE, TOO_LATE, BadRequest, GenerationError, OutOfMemory
from limner.generators.failures import understand
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

log = logging.getLogger(__name__)


class DiffusionGenerator:
    """Paints with a diffusers pipeline: an `ImageGenerator`.

    Every request in flight runs the stock pipeline's own loop with its own scheduler, timesteps, guidance and random
    numbers (`Flight`); the denoiser calls that the loops wait for are made as one, with one timestep per sample. So
    text-to-image, image-to-image and inpainting requests join and leave between steps, and each gets the picture that
    the stock pipeline would paint for it alone (within 2/255 on CPU in float32). Random numbers come from the CPU, so a
    seed gives the same picture on every device.

    What fits is measured at loading (`memory.budget`); a call that does not fit after all goes down a ladder of
    sacrifices (`ladder.Ladder`).
    """

    def __init__(
        self,
        card: ModelCard,
        pipe: DiffusionPipeline,
        *,
        ladder: Ladder,
        aside: torch.device | None = None,
        previewer: Previewer | None = None,
        embeddings: TextualInversions | None = None,
    ) -> None:
        self._card = card
        self._pipelines = Pipelines(pipe, card)
        self._admission = Admission(card, pipe, self._pipelines, embeddings or TextualInversions(pipe, {}))
        self._ladder = ladder
        self._denoiser = Stacker(ladder, decoding=False)
        self._decoder = Decoder(Stacker(ladder, decoding=True), aside)
        self._previewer = previewer
        self._flights: dict[str, Flight] = {}
        self._budget: Budget | None = None
        self._batch = BatchSize(card, ladder.pixels, samples_in(card, ladder.pixels))
        self._compilation: Compilation | None = None
        self._running: Callable[[], AbstractContextManager[None]] = nullcontext

    @classmethod
    def load(
        cls,
        card: ModelCard,
        *,
        device: str = "auto",
        dtype: str = "auto",
        offload: str = "none",
        max_batch: int | None = None,
        previews: float = 0.0,
        measured: Measured | None = None,
    ) -> DiffusionGenerator:
        """Load the diffusers folder or hub name ``card.source``; weights come from safetensors files only.

        Args:
            card: the model, and the step in which its width and height may change.
            device: auto, cuda, cuda:1, mps or cpu; auto takes the best that is there.
            dtype: auto, float32, float16, bfloat16 or fastest; auto is float32 on the CPU and half precision elsewhere,
                fastest what takes the least time there (`fastest_format`).
            offload: what waits in main memory instead of on the device: none, model or sequential (diffusers' words).
            max_batch: samples of the card's size in one call of the denoiser, and so in flight together; fewer if
                that is what fits. None: as many as fit and save time (`BatchSize`).
            previews: seconds between two previews of a request; 0 for none.
            measured: what was learned of the model on this device before; None for nothing.

        Raises:
            ModelNotFound: the folder or hub name is not there, or holds no safetensors weights.
            OutOfMemory: the model does not fit into the device's memory.
            BadRequest: the device cannot do what ``offload`` asks for.
        """
        where = pick_device(device)
        if offload != "none" and where.type == "cpu":
            raise BadRequest(
                sentence("Offloading needs an accelerator; the operator must set it to none on this machine.")
            )
        measured = measured or Measured()
        load = partial(cls._load, card, where, offload=offload, max_batch=max_batch, previews=previews)
        if dtype == FASTEST:
            chosen = fastest_format(card, where, measured, lambda one: load(one)._pace())
        else:
            chosen = Format(str(pick_dtype(dtype, where)).removeprefix("torch."))
        generator = load(chosen)
        generator._measure(where, offload, max_batch, measured)
        generator._speed_up(where, offload, chosen, measured)
        return generator

    @classmethod
    def measure_compiled(
        cls, card: ModelCard, device: torch.device, weights_format: Format, sizes: Sequence[int]
    ) -> dict[int, float]:
        """Load a model, and measure what calls of these sizes take when compiled: parts of the uncompiled time.

        Its attention is computed as the card says, without measuring that.

        Raises:
            GenerationError: it cannot be loaded.
            CompileError: it cannot be compiled, or a size does not fit.
            OSError: the folder of compiled code has no room.
        """
        generator = cls._load(card, device, weights_format, offload="none", max_batch=max(sizes), previews=0.0)
        blocks = CompiledBlocks(generator._pipelines.loaded)
        if card.attention:
            set_backend(generator._pipelines.loaded, card.attention)
        generator._running = blocks.running
        return measure_sizes(card, blocks, sizes, generator._try_out)

    @classmethod
    def _load(
        cls,
        card: ModelCard,
        device: torch.device,
        weights_format: Format,
        *,
        offload: str,
        max_batch: int | None,
        previews: float,
    ) -> DiffusionGenerator:
        need_memory(card.source, dtype := getattr(torch, weights_format.dtype), device)
        pipe = read_pipeline(card.source, dtype)
        if card.vae:
            replace_autoencoder(pipe, Path(card.vae))
        embeddings = TextualInversions(pipe, card.embeddings)
        if card.quantize:
            quantize(pipe, card.quantize)
        weights_format.apply(pipe)
        place(pipe, device, offload)
        most = (1 if card.video else max_batch or FIRST_BATCH) * card.width * card.height
        ladder = Ladder(pipe, most, can_offload=device.type != "cpu" and offload == "none")
        return (cls if Pipelines(pipe, card).stepwise else _WholeCallGenerator)(
            card,
            pipe,
            ladder=ladder,
            aside=device if device.type == "cuda" and offload == "none" else None,
            previewer=make_previewer(pipe, previews),
            embeddings=embeddings,
        )

    @property
    def blends(self) -> bool:
        """Whether it paints between two noises and two prompts, which animations need."""
        return self._pipelines.animates

    @property
    def paints_videos(self) -> bool:
        """Whether it paints videos, a request's frames in one call."""
        return self._pipelines.is_video

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Encode the request's texts and pictures and draw its noise; its first step is the next `step`.

        A request larger than the whole capacity is accepted when nothing else is in flight, and a video always.

        Raises:
            BadRequest: the model does not support the size, steps, scheduler or a feature, or it could never fit.
            OutOfMemory: it does not fit beside those in flight, or on the device.
        """
        self._admission.check(request)
        if self._budget is not None:
            self._budget.check(request)
        in_flight = any(self._in_flight())
        if in_flight and not request.is_video and request.pixels > self.capacity():  # a video waits for its own call
            raise OutOfMemory(sentence("The device has no room beside what it is painting now; ask again in a moment."))
        if not in_flight:
            self._ladder.climb()
        try:
            with torch.no_grad():
                self._start(key, request)
        except GenerationError:
            raise  # from None: an error that is its own cause loops forever
        except ValueError as error:
            raise BadRequest from error
        except Exception as error:
            raise understand(error) from error

    def step(self) -> list[Event]:
        """Take one denoising step, with one denoiser call for each of `groups_of`; some families need two.

        Where larger calls save no time (`together`), requests nearest to their end go first; a request skipped for
        `PASSED_OVER` steps is stepped next. A request without steps left is decoded and leaves as Finished: in the same
        call, or on an NVIDIA GPU in a later one, while others continue. A failed request leaves as Failed and others
        continue.
        """
        before = {key: flight.step for key, flight in self._flights.items()}
        with torch.no_grad():
            chosen = next_flights(self._flights.values(), self._batch, self._card)
            self._control(chosen)
            self._denoise(chosen)
            while begun := [flight for flight in chosen if flight.in_step]:
                self._denoise(begun)
            self._decode(wait=not chosen)
            return [event for key, step in before.items() for event in self._events(self._flights[key], step)]

    def change(self, key: str, prompt: str | None) -> None:
        """Denoise a request from another prompt from its next step on, or with None finish it after that step.

        A finished-early picture is decoded from the latents that the denoiser predicts. Its neighbours are not touched.

        Raises:
            BadRequest: its last step is taken.
            OutOfMemory: the prompt cannot be encoded beside what is in flight; the request continues unchanged.
        """
        flight = self._flights.get(key)
        if flight is None or flight.decoding:
            raise BadRequest(TOO_LATE)
        if not self._pipelines.steers:
            raise BadRequest(CANNOT_CHANGE)
        if prompt is None:
            flight.stop_after = flight.step + 1
            return
        try:
            with torch.no_grad():
                self._admission.steer(flight, flight.step, prompt)
        except Exception as error:
            raise understand(error) from error

    def evict(self, key: str) -> None:
        """Drop a request now; its neighbours are not touched. Unknown keys are ignored."""
        if key in self._flights:
            self._flights.pop(key).stop()

    def capacity(self) -> int:
        """How many more pixels fit."""
        return max(0, self._batch.room - sum(request.pixels for request in self._in_flight()))

    def together(self) -> int:
        """Pixels worth having in flight: one denoiser call, or two where it may pay."""
        return self._batch.together

    def move(self, device: str) -> None:
        """Move the weights to main memory ("cpu") or back; requests in flight continue afterwards."""
        self._pipelines.move(pick_device(device))

    def compile_next(self) -> str:
        """Compile the denoiser for one more size of calls, while nothing is in flight (`Compilation.advance`)."""
        return self._compilation.advance(self._try_out) if self._compilation else ""

    def compile_tried(self, found: dict[str, Any] | None) -> None:
        """Take the outcome of what `compile_next` asked to be tried (`Compilation.tried`)."""
        if self._compilation:
            self._compilation.tried(found)

    def close(self) -> None:
        """Free the device; the generator cannot be used any more."""
        for key in list(self._flights):
            self.evict(key)
        del (
            self._pipelines,
            self._admission,
            self._ladder,
            self._denoiser,
            self._decoder,
            self._previewer,
        )
        clear_device_cache(garbage_collection=True)

    def _measure(self, device: torch.device, offload: str, max_batch: int | None, measured: Measured) -> None:
        """Plan with what fits, as measured now or earlier; one picture of the card's size is always tried."""
        card, ladder, sample = self._card, self._ladder, self._card.width * self._card.height
        pipe = self._pipelines.loaded
        key = f"{title_of(device)} {pipe.dtype}|{card.source}|{card.width}x{card.height}"
        exactly = (
            f"{key}|{sum(weights(pipe))} bytes|{offload}|torch {torch.__version__}|diffusers {diffusers.__version__}"
        )
        releases = releasable(pipe) if ladder.can_offload else 0
        self._budget = budget(device, card, releases, self._try_out, measured, exactly)
        if self._budget is not None:
            fits = max(self._budget.pixels, sample)
            ladder.pixels = fits if max_batch is None and self._pipelines.stepwise else min(ladder.pixels, fits)
        if not self._pipelines.stepwise:
            self._batch = BatchSize(card, ladder.pixels, samples_in(card, ladder.pixels))
            return
        self._batch = measured_batch(card, ladder.pixels, max_batch, measured, key, self._try_out)

    def _speed_up(self, device: torch.device, offload: str, weights_format: Format, measured: Measured) -> None:
        """Compute attention as the operator says, if that is quicker, and plan to compile the denoiser."""
        card, pipe = self._card, self._pipelines.loaded
        if not self._pipelines.stepwise:
            return
        key = f"{title_of(device)}|{card.source}|{card.width}x{card.height}|{card.quantize}|{weights_format.name}"
        libraries = f"torch {torch.__version__}|diffusers {diffusers.__version__}"
        if card.attention:
            keyed = f"{key}|{card.attention}|{libraries}"
            used = choose_backend(card.name, card.attention, pipe, self._seconds_a_step, measured, keyed)
            card, key = replace(card, attention=used), f"{key}|{used}"
        if card.compile_cache and offload == "none" and CompiledBlocks.fits(pipe):
            load = {"device": str(device), "format": weights_format, "bytes": sum(weights(pipe))}
            samples = samples_in(card, self._ladder.pixels)
            self._compilation = Compilation(card, pipe, load, samples, measured, f"{key}|{libraries}")
            self._running = self._compilation.blocks.running

    def _seconds_a_step(self) -> float:
        return seconds_a_step(self._try_out(timed_request(self._card, self._batch.samples)))

    def _pace(self) -> float:
        """Seconds of a step for each sample of a call of `FIRST_BATCH`; the generator is closed then."""
        samples = min(FIRST_BATCH, samples_in(self._card, self._ladder.pixels))
        try:
            return seconds_a_step(self._try_out(timed_request(self._card, samples))) / samples
        finally:
            self.close()

    def _denoise(self, flights: Sequence[Flight]) -> None:
        """Answer the denoiser calls that these flights wait for."""
        for group in groups_of(flights):
            with sharing_time(group):
                calls, pixels = calls_of(group)
                for flight, answer in zip(group, self._answers(calls, pixels, group), strict=True):
                    flight.answer(answer)

    def _answers(self, calls: Sequence[Call], pixels: int, flights: Sequence[Flight]) -> list[Rows | GenerationError]:
        """The denoiser's outputs for the flights; their time is recorded for the size of the next call.

        Weights that cannot be attached again, as their files are gone by now, are the error of these flights alone.
        """
        try:
            self._admission.prepare(flights[0].request)
        except (BadRequest, OutOfMemory) as error:
            return [error] * len(flights)
        started = time.perf_counter()
        with self._running():
            answers = self._denoiser.answers(calls, pixels)
        asked, rows = sum(map(_asked, flights, calls)), sum(call.rows for call in calls)
        if (fitted := self._ladder.rows(pixels, decoding=False)) >= rows:
            self._batch.took(asked, rows, time.perf_counter() - started)
        elif sum(flight.request.num_images_per_prompt for flight in flights) > 1:  # one that is too large says nothing
            self._batch.ran_out(asked * fitted // rows)
        return answers

    def _try_out(self, request: GenerationRequest) -> Generator[None]:
        """Paint the request; only lack of memory is raised."""
        self.admit("", request)
        try:
            while any(self._in_flight()):
                for event in self.step():
                    if isinstance(event, Failed):
                        raise event.error
                yield
        finally:
            self.evict("")

    def _in_flight(self) -> Iterable[GenerationRequest]:
        return (flight.request for flight in self._flights.values())

    def _start(self, key: str, request: GenerationRequest) -> None:
        self._flights[key] = self._admission.flight(key, request)

    def _control(self, flights: Sequence[Flight]) -> None:
        """Answer the calls of ControlNets, so that all these flights wait for the denoiser."""
        controlled = [flight for flight in flights if flight.waiting and flight.waiting.is_control]
        for group in groups_of(controlled):
            with sharing_time(group):
                for flight, answer in zip(group, self._denoiser.answers(*calls_of(group)), strict=True):
                    flight.answer(answer)

    def _decode(self, *, wait: bool) -> None:
        """Start decoding for all flights that only lack pixels, and collect finished ones; with ``wait`` all."""
        groups = groups_of(flight for flight in self._flights.values() if flight.decoding)
        for flights in groups:
            with sharing_time(flights):
                self._admission.join_edges(flights[0].request)
                self._decoder.start(flights, *calls_of(flights))
        for flight, answer in self._decoder.landed(wait=wait):
            if self._flights.get(flight.key) is flight:
                flight.answer(answer)
        if groups:
            self._pipelines.loaded.maybe_free_model_hooks()  # moves offloaded models back, like the stock call

    def _events(self, flight: Flight, step: int) -> Iterator[Event]:
        """The events of a flight that was at ``step``; a finished one leaves."""
        now = time.perf_counter()
        if flight.step > step:
            yield Progress(flight.key, flight.step, flight.steps)
            yield from self._preview(flight)
        if flight.error is not None:
            yield Failed(flight.key, flight.error)
        elif flight.images is not None:
            seconds = now - flight.admitted
            unread = ("", "") if self._card.chunks else self._pipelines.unread(flight.request)
            more = {"work": flight.work, "maps": flight.word_maps}
            yield Finished(flight.key, flight.images, flight.request.seeds, seconds, flight.busy, *unread, **more)
        else:
            return
        del self._flights[flight.key]

    def _preview(self, flight: Flight) -> Iterator[Preview]:
        latents = self._previewer and not flight.decoding and self._previewer.look(flight.watch)
        if self._previewer and isinstance(latents, torch.Tensor):
            image = self._previewer.paint(latents, flight.request)
            if image is not None:
                yield Preview(flight.key, image)


def _asked(flight: Flight, call: Call) -> int:
    """The pixels of a request for which the denoiser is asked: less than all where pictures skip the step."""
    return flight.request.pixels * call.rows // flight.full.rows if flight.full else flight.request.pixels


class _WholeCallGenerator(DiffusionGenerator):
    """The same for a pipeline that is not proven to share its calls: whole calls, one at a time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls = WholeCalls(self._pipelines, self._ladder, self._previewer, self._admission.prepare)

    def step(self) -> list[Event]:
        """Take one step of the current call, or begin the next one."""
        return self._calls.step()

    def change(self, key: str, prompt: str | None) -> None:
        """Raise BadRequest: the pipeline's call is not proven to take another prompt."""
        raise BadRequest(CANNOT_CHANGE)

    def evict(self, key: str) -> None:
        """Drop a request now; unknown keys are ignored."""
        self._calls.evict(key)

    def close(self) -> None:
        """Free the device; the call that is under way is dropped."""
        self._calls.stop()
        del self._calls
        super().close()

    def _in_flight(self) -> Iterable[GenerationRequest]:
        return self._calls.requests

    def _start(self, key: str, request: GenerationRequest) -> None:
        if request.steering or request.stop_after is not None:
            raise BadRequest(CANNOT_CHANGE)
        self._calls.admit(key, request)
