"""ControlNets: loaded for the requests that give them a control picture."""

# pyright: basic

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel, FluxMultiControlNetModel
from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel, SD3MultiControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from PIL import Image, ImageOps

from limner.generators.cards.model_files import weights_variant
from limner.generators.diffusion.adapter_loading import denoiser_of
from limner.generators.errors import BadRequest, OutOfMemory
from limner.generators.failures import understand
from limner.generators.loading import loading
from limner.generators.references import Reference, Role
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence
from limner.generators.vision.outlines import edges, sketch

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

log = logging.getLogger(__name__)

KINDS = {
    "FluxPipeline": (FluxControlNetModel, FluxMultiControlNetModel),
    "StableDiffusion3Pipeline": (SD3ControlNetModel, SD3MultiControlNetModel),
}
"""The classes of one ControlNet and of several, by the pipeline; UNets have `ControlNetModel`."""
MADE = {Role.EDGES: edges, Role.SKETCH: sketch}
"""How the control pictures of these roles are made from any picture."""


class ControlNets:
    """The ControlNets of one model; each stays loaded from its first use.

    Args:
        pipe: the model's pipeline, which says where they run, and in which precision.
        folders: their folders by kind, with safetensors weights.
    """

    def __init__(self, pipe: DiffusionPipeline, folders: Mapping[str, str]) -> None:
        self._pipe = pipe
        self._folders = folders
        self._kind, self._several = KINDS.get(type(pipe).__name__, (ControlNetModel, MultiControlNetModel))
        self._loaded: dict[str, Any] = {}
        self._together: dict[tuple[str, ...], Any] = {}

    def check(self, request: GenerationRequest) -> None:
        """Raise BadRequest for a control picture that no ControlNet of the model reads."""
        if any(kind not in self._folders for kind in _kinds(request)):
            raise BadRequest(sentence("This model has no ControlNet for that picture; ask again without it."))

    def together(self, request: GenerationRequest) -> Any:
        """The ControlNets that read the request's control pictures, as one model.

        Raises:
            BadRequest: one cannot be loaded.
        """
        kinds = _kinds(request)
        if kinds not in self._together:
            self._together[kinds] = self._several([self._load(kind) for kind in kinds])
        return self._together[kinds]

    def move(self, device: Any) -> None:
        """Move the weights."""
        for model in self._loaded.values():
            model.to(device)

    def _load(self, kind: str) -> Any:
        if kind not in self._loaded:
            started, folder = time.perf_counter(), Path(self._folders[kind])
            options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
            options |= {"torch_dtype": denoiser_of(self._pipe).dtype, "variant": weights_variant(folder)}
            try:
                with loading():
                    made: Any = self._kind.from_pretrained(folder, **options)
                    made.to(self._pipe._execution_device)
            except Exception as error:
                if isinstance(failure := understand(error), OutOfMemory):
                    raise failure from error
                raise BadRequest(sentence("This ControlNet cannot be used; ask again without its picture.")) from error
            self._loaded[kind] = made.eval()
            log.info("controlnet_loaded seconds=%.2f", time.perf_counter() - started)
        return self._loaded[kind]


def controls_of(request: GenerationRequest, pictures: Mapping[str, Image.Image]) -> dict[str, Any]:
    """The arguments of the pipeline's call for the request's control pictures, which are in ``pictures`` by path."""
    controls = request.controls
    return {
        "control_image": [control_picture(one, pictures[one.picture], request) for one in controls],
        "controlnet_conditioning_scale": [one.weight for one in controls],
        "control_guidance_start": [one.start for one in controls],
        "control_guidance_end": [one.end for one in controls],
        "control_mode": [0] * len(controls),  # FLUX's pipelines drop ControlNets without one, even if they have none
    }


def control_picture(control: Reference, picture: Image.Image, request: GenerationRequest) -> Image.Image:
    """What a ControlNet reads, at the request's size, cropped to its aspect ratio."""
    fitted = ImageOps.fit(picture.convert("RGB"), request.size)
    return MADE[control.role](fitted) if control.role in MADE else fitted


def _kinds(request: GenerationRequest) -> tuple[str, ...]:
    return tuple(one.kind for one in request.controls)
