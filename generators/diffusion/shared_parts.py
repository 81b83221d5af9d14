"""What a model's flights share: its parts as their pipelines see them, and the encoded prompts."""

# pyright: basic

from __future__ import annotations

import copy
import inspect
from collections.abc import Hashable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from greenlet import getcurrent
from torch import Tensor, nn

from limner.generators.diffusion.adapter_loading import denoiser_of
from limner.generators.diffusion.prompt_cache import PromptCache
from limner.generators.diffusion.stacked_calls import Call, Residuals

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


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
    """Suspends the loop for a denoiser call made for all flights together; arguments after the timestep get names."""

    @cached_property
    def _names(self) -> list[str]:
        return [*inspect.signature(type(self._model).forward).parameters][1:]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        named = dict(zip(self._names[2:], args[2:], strict=False))
        return _wait_for(self._call(args[:2], named | kwargs))


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
        tells_steps: whether the loop calls back after each step, as all but PixArt's do.
        prompt_first: whether the prompt's rows come before those of the negative prompt, as in Z-Image alone.
        prompts: the encoded prompts.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        kind, device = type(pipe), pipe._execution_device
        models = {name: model for name, model in pipe.components.items() if isinstance(model, nn.Module)}
        blended = _blended(pipe)
        kinds = _KINDS | ({"unet": _BlendedUNet} if blended else {})
        self._pipe = pipe
        self._sizes = {"resolutions": _AnySize()} if hasattr(pipe, "resolutions") else {}
        self._parts = {name: kinds.get(name, _Part)(model) for name, model in models.items()}
        self.noted = ["latents", *blended]
        self.tells_steps = "callback_on_step_end" in inspect.signature(kind.__call__).parameters
        self.prompt_first = kind.__name__.startswith("ZImage")
        own = {"__module__": kind.__module__, "_execution_device": device, "_callback_tensor_inputs": self.noted}
        self._kind = type(kind.__name__, (kind,), own)
        self.prompts = PromptCache()

    def own(self, scheduler: Any, loras: Hashable) -> DiffusionPipeline:
        """A pipeline for one flight; around vars, since setting an attribute would rewrite its configuration."""
        own = copy.copy(self._pipe)
        vars(own).update(self._parts, **self._sizes, scheduler=scheduler, maybe_free_model_hooks=lambda: None)
        object.__setattr__(own, "__class__", self._kind)
        encode = "encode_prompt" if hasattr(own, "encode_prompt") else "_encode_prompt"  # InstructPix2Pix's
        vars(own)[encode] = partial(self.prompts.encode, loras, getattr(own, encode))
        return own


class _AnySize:
    """Sizes in the place of the seven that Kandinsky 5 paints, where it would paint another one than asked for."""

    def __contains__(self, size: object) -> bool:
        return True


def _blended(pipe: Any) -> list[str]:
    """The variables of a loop that pastes the picture around the mask at each step: the mask, the picture's latents.

    There are none where the denoiser itself reads the mask.
    """
    vae = pipe.vae.config if "Inpaint" in type(pipe).__name__ else {}
    channels = vae.get("latent_channels") or vae.get("z_dim")
    if not channels or denoiser_of(pipe).config.in_channels % channels:
        return []
    variables = inspect.unwrap(type(pipe).__call__).__code__.co_varnames
    return ["init_mask" if "init_mask" in variables else "mask", "image_latents"]


def _wait_for(call: Call) -> Any:
    caller: Any = getcurrent().parent
    return caller.switch(call)
