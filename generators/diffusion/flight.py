"""A request in flight: a call of the stock pipeline, suspended wherever it needs a large model's output."""

# pyright: basic

from __future__ import annotations

import copy
import inspect
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from limner.generators.diffusion.preview import Watch
from limner.generators.diffusion.stacked_calls import Call, Rows
from limner.generators.errors import BadRequest, GenerationError, NotNumbers
from limner.generators.failures import understand
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    from PIL import Image


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

    Raises:
        ValueError: the pipeline refuses the arguments.
    """

    def __init__(
        self, key: str, request: GenerationRequest, shared: Shared, scheduler: Any, arguments: dict[str, Any]
    ) -> None:
        self.key = key
        self.request = request
        self.admitted = time.perf_counter()
        self.busy = 0.0
        self.step = 0
        self.passed_over = 0
        self.watch = Watch(scheduler)
        self.waiting: Call | None = None
        self.images: list[Image.Image] | None = None
        self.error: GenerationError | None = None
        self._pipe = shared.own(scheduler)
        # Without the no_grad decorator: suspended flights would restore the gradient mode in the wrong order.
        self._loop = greenlet(inspect.unwrap(type(self._pipe).__call__))
        self._went_on(self._loop.switch(self._pipe, **arguments, callback_on_step_end=self._note))
        self.busy = time.perf_counter() - self.admitted

    @property
    def steps(self) -> int:
        """How many steps its loop takes; a picture to start from saves some, a scheduler of second order adds some."""
        return self._pipe.num_timesteps

    @property
    def pixels_left(self) -> int:
        """Work left: pixels times steps."""
        return self.request.pixels * (self.steps - self.step)

    @property
    def decoding(self) -> bool:
        """Whether only the decoding is left."""
        return self.step == self.steps

    def take(self) -> Call | None:
        """The calls that the loop waits for; the caller must answer them."""
        call, self.waiting = self.waiting, None
        return call

    def answer(self, result: Rows | GenerationError) -> None:
        """Give the loop the result that it waits for, or the error to end with."""
        try:
            if not isinstance(result, GenerationError) and not _finite(result):
                result = NotNumbers.blaming(self.request, _precision(result))
            failed = isinstance(result, GenerationError)
            self._went_on(self._loop.throw(result) if failed else self._loop.switch((result,)))
        except Exception as error:
            self.error = understand(error)

    def stop(self) -> None:
        """End the loop at its current point."""
        self._loop.throw()

    def _note(self, _pipe: Any, step: int, _time: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        self.step = step + 1
        return {}

    def _went_on(self, result: Any) -> None:
        if isinstance(result, Call):
            self.waiting = result
        elif any(getattr(result, "nsfw_content_detected", None) or ()):
            raise BadRequest("The model's own safety check held this picture back; change the words or the seed.")
        else:
            self.images = result.images


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


class _Autoencoder(_Part):
    """Suspends the loop for decoding, made for all flights together; encodes at once."""

    def encode(self, pixels: Tensor) -> Any:
        found = self._model.encode(pixels.to(self._precision))
        if hasattr(found, "latent_dist"):
            found.latent_dist = DiagonalGaussianDistribution(found.latent_dist.parameters.float())
        return found

    def decode(self, latents: Tensor, **kwargs: Any) -> Any:
        return _wait_for(Call(self._model.decode, (latents.to(self._precision),), kwargs))


_KINDS = {"unet": _Denoiser, "transformer": _Denoiser, "vae": _Autoencoder}


class Shared:
    """A stock pipeline with all that is the same for every flight: its models, and the device that they run on.

    diffusers walks through all modules of the models for their device and their precision at each call.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        kind, device = type(pipe), pipe._execution_device
        models = {name: model for name, model in pipe.components.items() if isinstance(model, nn.Module)}
        self._pipe = pipe
        self._parts = {name: _KINDS.get(name, _Part)(model) for name, model in models.items()}
        self._kind = type(kind.__name__, (kind,), {"__module__": kind.__module__, "_execution_device": device})

    def own(self, scheduler: Any) -> DiffusionPipeline:
        """A pipeline for one flight; around vars, since setting an attribute would rewrite its configuration."""
        own = copy.copy(self._pipe)
        vars(own).update(self._parts, scheduler=scheduler, maybe_free_model_hooks=lambda: None)
        object.__setattr__(own, "__class__", self._kind)
        return own


def _wait_for(call: Call) -> Any:
    return getcurrent().parent.switch(call)  # pyright: ignore[reportOptionalMemberAccess]: a flight has one


def _precision(result: Rows) -> str:
    return str(result[0].dtype).removeprefix("torch.")


def _finite(result: Rows) -> bool:
    return all(bool(torch.isfinite(each).all()) for each in (result if isinstance(result, list) else [result]))
