"""IP-Adapters: pictures as a part of the prompt, for the requests that refer to some."""

# pyright: basic

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.adapter_loading import denoiser_of, load_adapters, read_image_encoder, set_scales
from limner.generators.errors import BadRequest, OutOfMemory
from limner.generators.failures import understand
from limner.generators.image_canvas import fitted, mask_of_area
from limner.generators.references import Area
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


log = logging.getLogger(__name__)


PROJECTIONS = ("encoder_hid_proj", "image_proj")
"""Where UNets and FLUX, and where SD3's transformer have what turns a picture's vectors into tokens."""


class _Attention(NamedTuple):
    """What an IP-Adapter changes in a denoiser."""

    projections: dict[str, Any]
    kind: str | None
    processors: dict[str, Any]


class IpAdapters:
    """The IP-Adapters of one model (Ye et al. 2023); one set is attached at a time, and none for other requests.

    diffusers' own loader makes each set. The denoiser's attention as it was is kept beside the latest set, so that
    requests with and without references alternate without loading.

    Args:
        pipe: the model's pipeline.
        card: its files: an adapter for each role, and the image encoder that they were trained with.
    """

    def __init__(self, pipe: DiffusionPipeline, card: ModelCard) -> None:
        self._pipe = pipe
        self._card = card
        self._plain: _Attention | None = None
        self._adapted: _Attention | None = None
        self._roles: tuple[str, ...] = ()
        self._attached: tuple[tuple[str, float], ...] = ()
        self._encoder: dict[str, Any] = {}

    def check(self, request: GenerationRequest) -> None:
        """Raise BadRequest for a reference that no adapter of the model reads."""
        if any(role not in self._card.adapters for role, _ in request.image_prompts):
            raise BadRequest(sentence("This model has no adapter for references to pictures; ask again without one."))

    def encoder(self, request: GenerationRequest) -> dict[str, Any]:
        """The pipeline's parts that read the request's references; empty if there are none.

        Raises:
            BadRequest: a file is missing, or made for another kind of model.
        """
        self.attach(request)
        return self._encoder if request.image_prompts else {}

    def attach(self, request: GenerationRequest) -> None:
        """Attach the adapters that the request needs with its weights, and detach others; raises as `encoder`."""
        wanted = tuple(request.image_prompts)
        if wanted == self._attached:
            return
        if not wanted:
            self._put(self._plain)
        else:
            try:
                self._attach(wanted)
            except Exception as error:
                self._put(self._plain)
                self.forget()
                if isinstance(failure := understand(error), OutOfMemory):
                    raise failure from error
                raise BadRequest(
                    sentence("This model's adapter for references cannot be used; ask again without one.")
                ) from error
        self._attached = wanted

    def forget(self) -> None:
        """Detach all, and load them again when they are next needed."""
        if self._attached:
            self._put(self._plain)
        self._adapted, self._attached, self._roles, self._encoder = None, (), (), {}

    def _attach(self, wanted: tuple[tuple[str, float], ...]) -> None:
        roles = tuple(role for role, _ in wanted)
        if roles != self._roles or self._adapted is None:
            self._load(roles)
        elif not self._attached:
            self._put(self._adapted)
        set_scales(self._pipe, [self._scale(role, weight) for role, weight in wanted])

    def _load(self, roles: tuple[str, ...]) -> None:
        started = time.perf_counter()
        self._plain = self._plain or self._attention()
        files = [Path(self._card.adapters[role]) for role in roles]
        own = copy.copy(self._pipe)  # the parts that the loader adds are not for requests without references
        own.register_modules(**(self._encoder or read_image_encoder(self._pipe, self._card.image_encoder)))
        load_adapters(own, files)
        self._encoder = {name: getattr(own, name) for name in ("image_encoder", "feature_extractor")}
        self._adapted, self._roles = self._attention(), roles
        log.info("adapters_changed count=%d seconds=%.2f", len(roles), time.perf_counter() - started)

    def _attention(self) -> _Attention:
        denoiser = denoiser_of(self._pipe)
        projections = {name: getattr(denoiser, name, None) for name in PROJECTIONS}
        return _Attention(
            projections, getattr(denoiser.config, "encoder_hid_dim_type", None), dict(denoiser.attn_processors)
        )

    def _put(self, attention: _Attention | None) -> None:
        if attention:
            denoiser = denoiser_of(self._pipe)
            for name, projection in attention.projections.items():
                setattr(denoiser, name, projection)
            denoiser.config.encoder_hid_dim_type = attention.kind
            denoiser.set_attn_processor(dict(attention.processors))

    def _scale(self, role: str, weight: float) -> Any:
        """diffusers' scale: a number, or the share of the blocks that the card names for the role."""
        return _times(self._card.adapter_blocks[role], weight) if role in self._card.adapter_blocks else weight


def masks_of(request: GenerationRequest, masks: Mapping[str, Image.Image]) -> dict[str, Any]:
    """The argument of the denoiser that says where each picture counts; none if all count everywhere.

    The request's own masks are in ``masks`` by path, and are fitted to its size.
    """
    prompts = request.image_prompts.values()
    if {one.place for some in prompts for one in some} <= {Area.ALL}:
        return {}
    (width, height), made = request.size, list[torch.Tensor]()
    for some in prompts:
        drawn = [
            fitted(masks[one.mask], request.size) if one.mask else mask_of_area(one.area, request.size) for one in some
        ]
        made.append(IPAdapterMaskProcessor().preprocess(drawn, height, width))
    return {"ip_adapter_masks": [each.reshape(1, len(each), *each.shape[2:]) for each in made]}


def _times(blocks: Any, weight: float) -> Any:
    if isinstance(blocks, dict):
        return {name: _times(value, weight) for name, value in blocks.items()}
    return [_times(value, weight) for value in blocks] if isinstance(blocks, list) else blocks * weight
