"""A request in flight: a call of the stock pipeline, suspended wherever it needs a large model's output."""

# pyright: basic

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Hashable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from limner.generators.base import WordMap, WorkDone
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion.adapter_loading import denoiser_of
from limner.generators.diffusion.attention_maps import AttentionMaps
from limner.generators.diffusion.blending import BlendedNoise
from limner.generators.diffusion.guided_steps import GuidedSteps, twice
from limner.generators.diffusion.preview import Watch
from limner.generators.diffusion.prompt_cache import PromptCache
from limner.generators.diffusion.stacked_calls import Call, Residuals, Rows
from limner.generators.diffusion.step_skipping import StepSkipping
from limner.generators.errors import BadRequest, GenerationError, NotNumbers
from limner.generators.failures import understand
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    from PIL import Image


WORDS = ("encoder_hidden_states", "pooled_projections", "added_cond_kwargs", "txt_ids")
"""Arguments of denoisers that come from the prompts."""


class Flight:
    """A request painted by diffusers' own loop, in a greenlet of its own.

    The loop runs until it calls the denoiser or decodes; that call is then in ``waiting``, and the loop continues when
    `answer` brings the result. So many loops share one call, and each still is the stock one, with its own scheduler,
    timesteps, guidance and random numbers. It ends with ``images`` or ``error``. All calls come from one thread.

    Args:
        key: the caller's key.
        request: the request.
        pipe: the stock pipeline; it is copied, its models are not.
        scheduler: one that is not shared.
        arguments: of the pipeline's call.
        loras: what is attached to the text encoders.
        maps: where the words of its prompt draw is added to these.

    Raises:
        ValueError: the pipeline refuses the arguments.
    """

    def __init__(
        self,
        key: str,
        request: GenerationRequest,
        shared: Shared,
        scheduler: Any,
        arguments: dict[str, Any],
        *,
        loras: Hashable = (),
        maps: AttentionMaps | None = None,
    ) -> None:
        self.key = key
        self.request = request
        self.admitted = time.perf_counter()
        self.busy = 0.0
        self.step = 0
        self.passed_over = 0
        self.stop_after = request.stop_after
        self.watch = Watch(scheduler)
        self.waiting: Call | None = None
        #: The call of all rows, of which ``waiting`` leaves some out; None where it never does.
        self.full: Call | None = None
        self.images: list[Image.Image] | None = None
        self.error: GenerationError | None = None
        self._steering: list[tuple[int, dict[str, Any]]] = []
        self._maps: list[tuple[int, AttentionMaps]] = [(0, maps)] if maps else []
        self._skipping = _skipping(request)
        self._guided = GuidedSteps(request.guided, request.num_images_per_prompt) if request.guided else None
        self._is_unguided = False  # whether the waiting call has the prompt's rows alone
        self._asked: Call | None = None  # that of which step skipping leaves out pictures
        self._noise = BlendedNoise(request.between.noises) if request.between else nullcontext()
        self._pipe = shared.own(scheduler, loras)
        # Without the no_grad decorator: suspended flights would restore the gradient mode in the wrong order.
        self._loop = greenlet(inspect.unwrap(type(self._pipe).__call__))
        reads = {"callback_on_step_end": self._note, "callback_on_step_end_tensor_inputs": shared.noted}
        encoded, cached = shared.prompts.encoded, shared.prompts.cached
        self._went_on(self._go_on(self._pipe, **arguments, **reads))
        self._prompts = shared.prompts.encoded - encoded, shared.prompts.cached - cached
        self.busy = time.perf_counter() - self.admitted

    @property
    def steps(self) -> int:
        """How many steps its loop takes; a picture to start from saves some, a scheduler of second order adds some."""
        return min(self._pipe.num_timesteps, self.stop_after or self._pipe.num_timesteps)

    @property
    def work(self) -> WorkDone:
        """What it has taken so far."""
        skipped = self._skipping.skipped if self._skipping else 0
        return WorkDone(*self._prompts, self.step * self.request.num_images_per_prompt - skipped, skipped)

    @property
    def pixels_left(self) -> int:
        """Work left: pixels times steps."""
        return self.request.pixels * (self.steps - self.step)

    @property
    def decoding(self) -> bool:
        """Whether only the decoding is left."""
        return self.step == self.steps

    @property
    def words(self) -> dict[str, Any]:
        """The encoded prompts, as its waiting call of the denoiser has them."""
        call = self.full or self.waiting
        given = call.kwargs if call else {}
        return {name: given[name] for name in WORDS if name in given}

    @property
    def word_maps(self) -> tuple[WordMap, ...]:
        """Where the words drew so far, in the order of their prompts."""
        return tuple(one for step, maps in self._maps for one in maps.found(step))

    def steer(self, step: int, words: dict[str, Any], maps: AttentionMaps | None = None) -> None:
        """Denoise from these `words` once ``step`` steps are taken; where they draw is added to ``maps``."""
        self._steering.append((step, words))
        if maps:
            self._maps.append((step, maps))
        if self.waiting is not None:
            self.waiting = self._thinned(self._steered(self._observed(self.full or self.waiting)))

    def take(self) -> Call | None:
        """The calls that the loop waits for; the caller must answer them."""
        call, self.waiting = self.waiting, None
        return call

    def answer(self, result: Rows | GenerationError) -> None:
        """Give the loop the result that it waits for, or the error to end with."""
        try:
            if not isinstance(result, GenerationError) and not _finite(result):
                result = NotNumbers.blaming(self.request, _precision(result))
            if isinstance(result, GenerationError):
                self._went_on(self._loop.throw(result))
            else:
                self._went_on(self._go_on((self._completed(result),)))
        except Exception as error:
            self.error = understand(error)

    def stop(self) -> None:
        """End the loop at its current point."""
        self._loop.throw()

    def _note(self, pipe: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.step = step + 1
        if self.step < self.steps or self.steps == pipe.num_timesteps:
            return {}
        pipe._interrupt = True  # the loop skips its other steps
        return {"latents": self._clean(*tensors.values())}

    def _clean(self, latents: Tensor, *blended: Tensor) -> Tensor:
        """The latents that the denoiser predicts; outside a mask those of the picture to start from."""
        predicted = self.watch.denoised()
        clean = latents if predicted is None else predicted
        if not blended:
            return clean
        mask, picture = blended
        return (1 - mask) * picture + mask * clean

    def _observed(self, call: Call) -> Call:
        """The call with the maps of the present step's words, for the first picture; decoding has none."""
        maps = [maps for step, maps in self._maps if step <= self.step]
        if not maps or WORDS[0] not in call.kwargs or call.is_control:
            return call
        return replace(call, watched={call.rows - self.request.num_images_per_prompt: maps[-1]})

    def _steered(self, call: Call) -> Call:
        """The call with the words of the present step, if the prompt was changed; decoding has none."""
        words = [words for step, words in self._steering if step <= self.step]
        if not words or WORDS[0] not in call.kwargs:
            return call
        # Some of SD3's ControlNets are given no words, or zeros in the place of the pooled ones.
        read = {name: value for name, value in words[-1].items() if not call.is_control or _says(call.kwargs.get(name))}
        return replace(call, kwargs=_joined(call.kwargs, read))

    def _thinned(self, call: Call) -> Call | None:
        """The call for the rows that are needed in this step; None if none is."""
        self.full = None
        if not (self._skipping or self._guided) or self.decoding or call.is_control:
            return call
        self.full = call
        call, was_unguided = self._without_guidance(call), self._is_unguided
        self._is_unguided = call is not self.full
        if self._skipping is None:
            return call
        if was_unguided != self._is_unguided or any(step == self.step for step, _ in self._steering):
            self._skipping.forget()
        self._asked = call
        return self._skipping.thin(call, self.step, self.steps)

    def _without_guidance(self, call: Call) -> Call:
        """The call for the prompt's rows alone in steps without guidance."""
        return self._guided.thin(call, self.step, self.steps) if self._guided else call

    def _completed(self, answer: Rows) -> Rows:
        """The answer for all rows."""
        if self.full is None:
            return answer
        if self._skipping and self._asked:
            answer = self._skipping.complete(self._asked, answer)
        return twice(answer) if self._is_unguided else answer

    def _go_on(self, *answer: Any, **arguments: Any) -> Any:
        """Let the loop run to its next call, which is returned, or to its end."""
        with self._noise:
            return self._loop.switch(*answer, **arguments)

    def _went_on(self, result: Any) -> None:
        while isinstance(result, Call):
            self.waiting = self._thinned(self._steered(self._observed(result)))
            if self.waiting is not None:
                return
            result = self._go_on((self._completed([]),))
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise BadRequest(
                sentence("The model's own safety check held this picture back; change the words or the seed.")
            )
        else:
            self.images = result.images


def _skipping(request: GenerationRequest) -> StepSkipping | None:
    """None for a request with control pictures too, since a ControlNet answers before the denoiser is asked."""
    if request.skipping in (None, SkipRule.OFF) or request.controls:
        return None
    return StepSkipping(request.skipping, request.num_images_per_prompt)


class _Part:
    """A model as a flight's pipeline sees it: always float32, and never moved.

    In float32, because rounding in the loop would change a seed's picture.
    """

    dtype = torch.float32

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def __class__(self) -> type:
        return type(self._model)  # pipelines check the types of their parts

    @cached_property
    def _precision(self) -> torch.dtype:
        return self._model.dtype  # the original walks through the whole model each time

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call(args, kwargs)
        return call.model(*call.args, **call.kwargs)

    def to(self, *_: Any, **__: Any) -> _Part:
        return self  # other flights use the model too

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        return Call(self._model, args, kwargs).fitted(self._precision)


class _Denoiser(_Part):
    """Suspends the loop for a denoiser call made for all flights together."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _wait_for(self._call(args, kwargs))


class _BlendedUNet(_Denoiser):
    """A UNet that reads latents and no mask, which diffusers' inpainting knows by its 4 input channels.

    The number decides nothing else there, so latents with other channels than Stable Diffusion's are inpainted too.
    """

    @cached_property
    def config(self) -> FrozenDict:
        return FrozenDict({**self._model.config, "in_channels": 4})


class _ControlNet(_Part):
    """Suspends the loop for a ControlNet call made for all flights together."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _wait_for(Call(Residuals(self._model), args, kwargs).fitted(self._precision))[0]


class _Autoencoder(_Part):
    """Suspends the loop for decoding, made for all flights together; encodes at once."""

    def encode(self, pixels: Tensor) -> Any:
        found = self._model.encode(pixels.to(self._precision))
        if hasattr(found, "latent_dist"):
            found.latent_dist = _Latents(found.latent_dist.parameters.float())
        return found

    def decode(self, latents: Tensor, **kwargs: Any) -> Any:
        return _wait_for(Call(self._model.decode, (latents.to(self._precision),), kwargs))


class _Latents(DiagonalGaussianDistribution):
    """An encoded picture whose latents depend on the request alone."""

    def sample(self, generator: Any = None) -> Tensor:
        """Latents drawn by a request's generators; their mean for the control pictures that SD3 draws without any."""
        return super().sample(generator) if generator else self.mode()


_KINDS = {"unet": _Denoiser, "transformer": _Denoiser, "controlnet": _ControlNet, "vae": _Autoencoder}


class Shared:
    """A stock pipeline with all that is the same for every flight: its models, and the device that they run on.

    diffusers walks through all modules of the models for their device and their precision at each call.

    Attributes:
        noted: the loop's variables that a flight reads after each step.
        prompts: the encoded prompts.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        kind, device = type(pipe), pipe._execution_device
        models = {name: model for name, model in pipe.components.items() if isinstance(model, nn.Module)}
        blended = _blended(pipe)
        kinds = _KINDS | ({"unet": _BlendedUNet} if blended else {})
        self._pipe = pipe
        self._parts = {name: kinds.get(name, _Part)(model) for name, model in models.items()}
        self.noted = ["latents", *blended]
        own = {"__module__": kind.__module__, "_execution_device": device, "_callback_tensor_inputs": self.noted}
        self._kind = type(kind.__name__, (kind,), own)
        self.prompts = PromptCache()

    def own(self, scheduler: Any, loras: Hashable) -> DiffusionPipeline:
        """A pipeline for one flight; around vars, since setting an attribute would rewrite its configuration."""
        own = copy.copy(self._pipe)
        vars(own).update(self._parts, scheduler=scheduler, maybe_free_model_hooks=lambda: None)
        object.__setattr__(own, "__class__", self._kind)
        encode = "encode_prompt" if hasattr(own, "encode_prompt") else "_encode_prompt"  # InstructPix2Pix's
        vars(own)[encode] = partial(self.prompts.encode, loras, getattr(own, encode))
        return own


def _blended(pipe: Any) -> list[str]:
    """The variables of a loop that pastes the picture around the mask at each step: the mask, the picture's latents.

    A denoiser that reads masks needs that not.
    """
    vae = pipe.vae.config if "Inpaint" in type(pipe).__name__ else {}
    channels = vae.get("latent_channels") or vae.get("z_dim")
    if not channels or denoiser_of(pipe).config.in_channels % channels:
        return []
    variables = inspect.unwrap(type(pipe).__call__).__code__.co_varnames
    return ["init_mask" if "init_mask" in variables else "mask", "image_latents"]


def _says(words: Any) -> bool:
    return words is not None and not (isinstance(words, Tensor) and not words.any())


def _joined(arguments: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments with other words; conditions that no prompt says, such as pictures, stay."""
    said = {name: value for name, value in words.items() if value is not None}
    more = {name: {**arguments[name], **value} for name, value in said.items() if isinstance(value, dict)}
    return arguments | said | more


def _wait_for(call: Call) -> Any:
    return getcurrent().parent.switch(call)  # pyright: ignore[reportOptionalMemberAccess]: a flight has one


def _precision(result: Any) -> str:
    return _precision(result[0]) if isinstance(result, list) else str(result.dtype).removeprefix("torch.")


def _finite(result: Any) -> bool:
    if isinstance(result, list):
        return all(map(_finite, result))
    return result is None or bool(torch.isfinite(result).all())
