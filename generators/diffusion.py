"""Any Hugging Face diffusers pipeline; UNet text-to-image pipelines paint many requests together, step by step."""

# pyright: basic

from __future__ import annotations

import inspect
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from generators.base import (
    BadRequest,
    BrokenImage,
    Event,
    Failed,
    Finished,
    GenerationError,
    GenerationRequest,
    ModelCard,
    ModelNotFound,
    OutOfMemory,
    Progress,
    place_of,
)
from generators.loading import loading

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

log = logging.getLogger(__name__)

Scheduler = Any
"""One of diffusers' schedulers; they share `set_timesteps`, `scale_model_input` and `step`, but no typed base."""

STEPWISE = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""Pipeline classes whose denoising loop is known here; every other one is called as a whole."""


class DiffusionGenerator:
    """Paints with a diffusers pipeline: an `ImageGenerator`.

    Every request in flight keeps its own scheduler, timesteps, guidance and random numbers; the denoiser is called once
    per step and `batch_key` on all their latents, with one timestep for each. So requests join and leave between steps,
    and each gets the picture that the stock pipeline would paint for it alone (within 2/255 on CPU in float32).
    Random numbers come from the CPU, so a seed means the same picture on every device.
    """

    def __init__(self, card: ModelCard, pipe: DiffusionPipeline, *, max_batch: int) -> None:
        self._card = card
        self._pipe = pipe
        self._scheduler = pipe.scheduler
        self._max_batch = max_batch
        self._samples_per_call = max_batch
        self._flights: dict[str, _Flight] = {}

    @classmethod
    def load(
        cls, card: ModelCard, *, device: str = "auto", dtype: str = "auto", offload: str = "none", max_batch: int = 8
    ) -> DiffusionGenerator:
        """Load the diffusers folder or hub name ``card.source``; weights come from safetensors files only.

        Args:
            card: the model, and the step in which its width and height may change.
            device: auto, cuda, cuda:1, mps or cpu; auto takes the best that is there.
            dtype: auto, float32, float16 or bfloat16; auto is float32 on the CPU and half precision elsewhere.
            offload: what waits in main memory instead of on the device: none, model or sequential (diffusers' words).
            max_batch: samples in one call of the denoiser, and so in flight together.

        Raises:
            ModelNotFound: the folder or hub name is not there, or holds no safetensors weights.
            OutOfMemory: the model does not fit into the device's memory.
            BadRequest: the device cannot do what ``offload`` asks for.
        """
        place = _pick_device(device)
        if offload != "none" and place.type == "cpu":
            raise BadRequest("Offloading needs an accelerator; the operator must set it to none on this machine.")
        pipe = _read_pipeline(card.source, _pick_dtype(dtype, place))
        stepwise = type(pipe).__name__ in STEPWISE
        if stepwise and pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast:
            pipe.vae.to(torch.float32)  # SDXL's overflows in float16; the stock pipeline casts it at each call
        _place(pipe, place, offload)
        return (cls if stepwise else _WholeCallGenerator)(card, pipe, max_batch=max_batch)

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Encode the request's words and draw its noise; it takes its first step in the next `step`.

        A request with more images than ``max_batch`` is taken when nothing else is in flight.

        Raises:
            BadRequest: the size, steps, scheduler or a feature is none that this model has.
            OutOfMemory: there is no room beside those in flight, or none on the device.
        """
        self._check(request)
        if self._flights and request.num_images_per_prompt > self.capacity():
            raise OutOfMemory("The painter has no room beside what it is painting now; ask again in a moment.")
        if not self._flights:
            self._samples_per_call = self._max_batch
        try:
            with torch.no_grad():
                self._flights[key] = self._prepare(key, request)
        except ValueError as error:
            raise BadRequest from error
        except Exception as error:
            raise _as_generation_error(error) from error

    def step(self) -> list[Event]:
        """Take one denoising step for all in flight: one denoiser call for each `batch_key`.

        A request that runs out of steps is decoded in the same call and leaves as Finished. One that fails, whatever
        the reason, leaves as Failed and the others go on.
        """
        groups: dict[str, list[_Flight]] = {}
        for flight in self._flights.values():
            groups.setdefault(flight.request.batch_key, []).append(flight)
        with torch.no_grad():
            return [event for flights in groups.values() for event in self._step_group(flights)]

    def evict(self, key: str) -> None:
        """Drop a request now; its neighbours are not touched. Unknown keys are ignored."""
        self._flights.pop(key, None)

    def capacity(self) -> int:
        """How many more samples fit into the next call."""
        return max(0, self._max_batch - sum(flight.samples for flight in self._flights.values()))

    def close(self) -> None:
        """Free the device; the generator cannot be used any more."""
        self._flights.clear()
        del self._pipe, self._scheduler
        clear_device_cache(garbage_collection=True)

    def _check(self, request: GenerationRequest) -> None:
        if request.init_image or request.mask or request.strength is not None:
            raise BadRequest("This painter cannot start from a picture yet; ask again with words only.")
        if request.loras:
            raise BadRequest("This painter has no LoRA support yet; ask again without it.")
        if request.num_inference_steps < 1 or request.num_images_per_prompt < 1:
            raise BadRequest("A painting takes at least one step and one picture; ask for more.")
        step = self._card.multiple_of
        if min(request.width, request.height) < step or request.width % step or request.height % step:
            raise BadRequest(f"This painter needs a width and height that are multiples of {step}; change the size.")

    def _prepare(self, key: str, request: GenerationRequest) -> _Flight:
        started = time.perf_counter()
        scheduler = self._new_scheduler(request.scheduler)
        device = self._pipe._execution_device
        scheduler.set_timesteps(request.num_inference_steps, device=device)
        if hasattr(self._pipe, "text_encoder_2") and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)  # as the stock SDXL pipeline does and the older one does not
        self._pipe.scheduler = scheduler  # the pipeline's own helpers read it there
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        positive, negative = self._conditions(request, device)
        latents = self._pipe.prepare_latents(
            len(generators),
            self._pipe.unet.config.in_channels,
            request.height,
            request.width,
            torch.float32,  # whatever the model's precision: rounding must not change what a seed means
            device,
            generators,
        )
        extra = self._pipe.prepare_extra_step_kwargs(generators, 0.0)
        flight = _Flight(key, request, scheduler, extra, latents, positive, negative, started)
        flight.busy = time.perf_counter() - started
        return flight

    def _new_scheduler(self, name: str | None) -> Scheduler:
        """A scheduler for one request: the model's own settings, and its own class if ``name`` is None."""
        known = {scheduler.__name__: scheduler for scheduler in self._scheduler.compatibles}
        known[type(self._scheduler).__name__] = type(self._scheduler)
        scheduler = known.get(name or type(self._scheduler).__name__)
        if scheduler is None:
            raise BadRequest("This painter does not know that scheduler; ask again without naming one.")
        return scheduler.from_config(self._scheduler.config)

    def _conditions(
        self, request: GenerationRequest, device: torch.device
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """What the denoiser reads beside latents and time, for each sample; None where nothing is guided away from."""
        unet, count = self._pipe.unet, request.num_images_per_prompt
        distilled = unet.config.time_cond_proj_dim is not None
        guided = request.guidance_scale > 1 and not distilled
        words, other_words, *pooled = self._pipe.encode_prompt(
            prompt=request.prompt,
            device=device,
            num_images_per_prompt=count,
            do_classifier_free_guidance=guided,
            negative_prompt=request.negative_prompt or None,
        )
        shared: dict[str, Tensor] = {}
        if distilled:
            scale = torch.full((count,), request.guidance_scale - 1)
            embedding = self._pipe.get_guidance_scale_embedding(scale, unet.config.time_cond_proj_dim)
            shared["timestep_cond"] = embedding.to(unet.dtype)
        if pooled:
            size = (request.height, request.width)
            ids = self._pipe._get_add_time_ids(size, (0, 0), size, words.dtype, int(pooled[0].shape[-1]))
            shared["time_ids"] = ids.repeat(count, 1)
        shared = {name: value.to(device) for name, value in shared.items()}
        positive = {"encoder_hidden_states": words, **shared}
        negative = {"encoder_hidden_states": other_words, **shared}
        if pooled:
            positive["text_embeds"], negative["text_embeds"] = pooled
        return positive, negative if guided else None

    def _step_group(self, flights: list[_Flight]) -> list[Event]:
        started = time.perf_counter()
        self._denoise(flights)
        self._decode([flight for flight in flights if flight.done and flight.error is None])
        now = time.perf_counter()
        share = (now - started) / sum(flight.samples for flight in flights)
        events: list[Event] = []
        for flight in flights:
            flight.busy += share * flight.samples
            if flight.error is None:
                events.append(Progress(flight.key, flight.step, len(flight.timesteps)))
            else:
                events.append(Failed(flight.key, flight.error))
            if flight.images is not None:
                seconds = now - flight.admitted
                events.append(Finished(flight.key, flight.images, flight.request.seeds, seconds, flight.busy))
            if flight.error is not None or flight.images is not None:
                self.evict(flight.key)
        log.debug("batch_denoised requests=%d seconds=%.3f", len(flights), now - started)
        return events

    def _denoise(self, flights: list[_Flight]) -> None:
        """Move each flight one step on, or set its error."""
        for flight in flights:
            with flight.failing_alone():
                flight.scale_input()
        alive = [flight for flight in flights if flight.error is None]
        noise = self._in_parts(self._call_denoiser, [sample for flight in alive for sample in flight.each()])
        for flight in alive:
            with flight.failing_alone():
                flight.advance([noise[sample] for sample in flight.each()])

    def _decode(self, flights: list[_Flight]) -> None:
        """Set each flight's images, or its error."""
        pixels = self._in_parts(self._call_decoder, [sample for flight in flights for sample in flight.each()])
        for flight in flights:
            with flight.failing_alone():
                painted = _stack([pixels[sample] for sample in flight.each()])
                flight.images = self._pipe.image_processor.postprocess(painted, output_type="pil")
        if flights:
            self._pipe.maybe_free_model_hooks()  # puts offloaded models back, as the stock call does at its end

    def _in_parts(
        self, call: Callable[[list[_Sample]], list[Tensor | Exception]], samples: list[_Sample]
    ) -> dict[_Sample, Tensor | Exception]:
        """Each sample's result of ``call``, or why it has none; calls as large as memory allows."""
        size = self._samples_per_call
        parts = [samples[start : start + size] for start in range(0, len(samples), size)]
        results = [result for part in parts for result in self._in_halves(call, part)]
        return dict(zip(samples, results, strict=True))

    def _in_halves(
        self, call: Callable[[list[_Sample]], list[Tensor | Exception]], samples: list[_Sample]
    ) -> list[Tensor | Exception]:
        try:
            return call(samples)
        except Exception as error:
            failure = _as_generation_error(error)
        # Out of the except block: there, the traceback still holds the tensors of the call that failed.
        half = len(samples) // 2
        if isinstance(failure, OutOfMemory):
            self._samples_per_call = max(1, half)
            clear_device_cache(garbage_collection=True)
        if not half:
            return [failure]
        return self._in_halves(call, samples[:half]) + self._in_halves(call, samples[half:])

    def _call_denoiser(self, samples: list[_Sample]) -> list[Tensor | Exception]:
        """The noise in each sample, guidance applied; the unguided half of the call is first, as in diffusers."""
        unet = self._pipe.unet
        guided = [(flight, i) for flight, i in samples if flight.negative is not None]
        rows = [flight.row(i, flight.negative or {}) for flight, i in guided]
        rows += [flight.row(i, flight.positive) for flight, i in samples]
        inputs = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        noise = unet(
            inputs.pop("latents").to(unet.dtype),
            inputs.pop("timesteps"),
            encoder_hidden_states=inputs.pop("encoder_hidden_states"),
            timestep_cond=inputs.pop("timestep_cond", None),
            added_cond_kwargs=inputs or None,
            return_dict=False,
        )[0].float()
        away = dict(zip(guided, noise[: len(guided)], strict=True))
        towards = dict(zip(samples, noise[len(guided) :], strict=True))
        for sample, unguided in away.items():
            towards[sample] = unguided + sample[0].request.guidance_scale * (towards[sample] - unguided)
        return list(towards.values())

    def _call_decoder(self, samples: list[_Sample]) -> list[Tensor | Exception]:
        """Pixels in [-1, 1] of each sample, or why it may not be shown."""
        vae = self._pipe.vae
        latents = self._unscale(torch.stack([flight.latents[i] for flight, i in samples]))
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0].float()
        if getattr(self._pipe, "watermark", None) is not None:
            pixels = self._pipe.watermark.apply_watermark(pixels)
        results: list[Tensor | Exception] = [
            each if bool(torch.isfinite(each).all()) else BrokenImage() for each in pixels
        ]
        if getattr(self._pipe, "safety_checker", None) is not None:
            _, unsafe = self._pipe.run_safety_checker(pixels, pixels.device, vae.dtype)
            refusal = BadRequest("The model's own safety check held this picture back; change the words or the seed.")
            results = [refusal if bad else each for each, bad in zip(results, unsafe, strict=True)]
        return results

    def _unscale(self, latents: Tensor) -> Tensor:
        """Latents as the VAE reads them; a mean and deviation for each channel is SDXL's way to say it."""
        config = self._pipe.vae.config
        mean, deviation = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
        if hasattr(self._pipe, "text_encoder_2") and mean is not None and deviation is not None:
            shape = (1, -1, 1, 1)
            latents = latents * latents.new_tensor(deviation).view(shape)
            return latents / config.scaling_factor + latents.new_tensor(mean).view(shape)
        return latents / config.scaling_factor


class _WholeCallGenerator(DiffusionGenerator):
    """The fallback for a pipeline that cannot be stepped: each `step` is one whole call for the oldest request."""

    def step(self) -> list[Event]:
        """Paint the oldest request from beginning to end."""
        if not self._flights:
            return []
        flight = next(iter(self._flights.values()))
        started = time.perf_counter()
        with torch.no_grad(), flight.failing_alone():
            flight.images = self._paint(flight)
        self.evict(flight.key)
        if flight.images is None:
            return [Failed(flight.key, flight.error or GenerationError())]
        now = time.perf_counter()
        steps = flight.request.num_inference_steps
        return [
            Progress(flight.key, steps, steps),
            Finished(flight.key, flight.images, flight.request.seeds, now - flight.admitted, now - started),
        ]

    def _prepare(self, key: str, request: GenerationRequest) -> _Flight:
        takes = inspect.signature(self._pipe.__call__).parameters
        if request.negative_prompt and ("negative_prompt" not in takes or "true_cfg_scale" in takes):
            raise BadRequest("This painter cannot leave things out; ask again without a negative prompt.")
        scheduler = self._new_scheduler(request.scheduler)
        return _Flight(key, request, scheduler, {}, torch.empty(0), {}, None, time.perf_counter())

    def _paint(self, flight: _Flight) -> list[Image.Image]:
        request = flight.request
        self._pipe.scheduler = flight.scheduler
        negative = {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}
        pixels = self._pipe.__call__(
            prompt=request.prompt,
            width=request.width,
            height=request.height,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            num_images_per_prompt=request.num_images_per_prompt,
            generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
            output_type="np",
            **negative,
        ).images
        if not math.isfinite(pixels.sum()):
            raise BrokenImage
        return self._pipe.image_processor.numpy_to_pil(pixels)


@dataclass(eq=False)
class _Flight:
    """A request that is being painted: n samples of it, all at the same step.

    ``latents`` is (n, channels, height, width) in float32. ``positive`` and ``negative`` map the denoiser's argument
    names to tensors whose first dimension is n.
    """

    key: str
    request: GenerationRequest
    scheduler: Scheduler
    step_kwargs: dict[str, Any]
    latents: Tensor
    positive: dict[str, Tensor]
    negative: dict[str, Tensor] | None
    admitted: float
    step: int = 0
    busy: float = 0.0
    scaled: Tensor = field(init=False)
    images: list[Image.Image] | None = None
    error: GenerationError | None = None

    @property
    def samples(self) -> int:
        return self.request.num_images_per_prompt

    @property
    def timesteps(self) -> Tensor:
        return self.scheduler.timesteps

    @property
    def done(self) -> bool:
        return self.step == len(self.timesteps)

    def each(self) -> list[_Sample]:
        return [(self, i) for i in range(self.samples)]

    def scale_input(self) -> None:
        self.scaled = self.scheduler.scale_model_input(self.latents, self.timesteps[self.step])

    def row(self, i: int, conditions: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the denoiser reads for sample ``i``, without the batch dimension."""
        named = {name: value[i] for name, value in conditions.items()}
        # float32: schedulers differ in whether their timesteps are whole numbers
        return {"latents": self.scaled[i], "timesteps": self.timesteps[self.step].float(), **named}

    def advance(self, noise: list[Tensor | Exception]) -> None:
        """Take one step of this request's own scheduler."""
        t = self.timesteps[self.step]
        self.latents = self.scheduler.step(_stack(noise), t, self.latents, **self.step_kwargs, return_dict=False)[0]
        # Reading this also waits for the device, so that the time of a step is counted where it belongs.
        if not bool(torch.isfinite(self.latents).all()):
            raise BrokenImage
        self.step += 1

    @contextmanager
    def failing_alone(self) -> Iterator[None]:
        """Keep an error for this request instead of raising it."""
        try:
            yield
        except Exception as error:
            self.error = _as_generation_error(error)


_Sample = tuple[_Flight, int]


def _stack(results: list[Tensor | Exception]) -> Tensor:
    for result in results:
        if isinstance(result, Exception):
            raise result
    return torch.stack([result for result in results if isinstance(result, torch.Tensor)])


def _as_generation_error(error: Exception) -> GenerationError:
    if isinstance(error, GenerationError):
        return error
    if isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error):
        return OutOfMemory()
    log.error("picture_failed reason=%s", place_of(error))
    return GenerationError()


def _pick_device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _pick_dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


def _read_pipeline(source: str, dtype: torch.dtype) -> DiffusionPipeline:
    local = Path(source).is_dir()
    try:
        with loading():
            pipe = DiffusionPipeline.from_pretrained(source, dtype=dtype, use_safetensors=True, local_files_only=local)
    except (OSError, ValueError) as error:
        raise ModelNotFound from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _place(pipe: DiffusionPipeline, device: torch.device, offload: str) -> None:
    move = {"none": pipe.to, "model": pipe.enable_model_cpu_offload, "sequential": pipe.enable_sequential_cpu_offload}
    try:
        move[offload](device=device)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory("The model does not fit into the device's memory; choose a smaller one.") from error
