"""LoRA files: attached to a model for the requests that name them."""

# pyright: basic

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from limner.generators.diffusion.lora_forms import other_form
from limner.generators.errors import BadRequest, NoLora
from limner.generators.loading import loading
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

log = logging.getLogger(__name__)


class Adapters:
    """The LoRAs of one model; one set is attached at a time, and replaced when other requests need another.

    Args:
        pipe: the pipeline that they are attached to.
        files: safetensors files by name.
    """

    def __init__(self, pipe: DiffusionPipeline, files: Mapping[str, str]) -> None:
        self._pipe = pipe
        self._files = files
        self._attached: tuple[tuple[str, float], ...] = ()
        self._changes = 0

    @property
    def attached(self) -> Hashable:
        """What is attached, () for nothing; another value for the same names once their files were loaded again."""
        return (self._attached, self._changes) if self._attached else ()

    def check(self, request: GenerationRequest) -> None:
        """Refuse a request for a missing LoRA.

        Raises:
            NoLora: the pipeline loads none.
            BadRequest: there is none of that name.
        """
        if request.loras and not hasattr(self._pipe, "load_lora_weights"):
            raise NoLora
        if any(name not in self._files for name, _ in request.loras):
            raise BadRequest(sentence("This model has no LoRA of that name; ask again with another one or without it."))

    def attach(self, request: GenerationRequest) -> None:
        """Attach the request's LoRAs, and detach others; at once if they are attached already.

        Detached ones leave the memory: the queue seldom asks for a change.

        Raises:
            BadRequest: a file is missing, or made for another kind of model.
        """
        if request.loras == self._attached:
            return
        started = time.perf_counter()
        self._take_off()
        try:
            with loading(), warnings.catch_warnings(category=UserWarning, action="ignore"):
                for name, _ in request.loras:
                    self._load(name, Path(self._files[name]))
            if request.loras:
                names, weights = zip(*request.loras, strict=True)
                self._pipe.set_adapters(list(names), list(weights))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            self._take_off()
            raise BadRequest(sentence("This LoRA cannot be used with this model; ask again without it.")) from error
        self._attached = request.loras
        self._changes += 1
        log.info("loras_changed count=%d seconds=%.2f", len(request.loras), time.perf_counter() - started)

    @loading()
    def _load(self, name: str, path: Path) -> None:
        weights = other_form(path, self._pipe)
        if weights is not None:
            return self._pipe.load_lora_weights(weights, adapter_name=name, use_safetensors=True)
        only = {"use_safetensors": True, "local_files_only": True}
        self._pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name, **only)

    def _take_off(self) -> None:
        self._pipe.unload_lora_weights()
        self._attached = ()
