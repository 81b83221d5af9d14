"""The kernels that compute a transformer's attention: those that the operator names, where they are quicker."""

# pyright: basic

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from limner.generators.diffusion.pipelines import denoiser_of
from limner.generators.errors import GenerationError
from limner.generators.measured import Measured

log = logging.getLogger(__name__)

ROUNDS = 2
"""How often the usual attention and the other one are timed, in turns."""


class CannotAttend(Exception):
    """Attention cannot be computed so here; the text is ``package``, ``denoiser``, ``device`` or ``untimed``."""


def set_backend(pipe: DiffusionPipeline, name: str) -> None:
    """Compute the denoiser's attention by diffusers' backend of that name, or by torch's if it is empty.

    Other models in this process keep theirs, which `set_attention_backend` alone would change.

    Raises:
        CannotAttend: a package is missing, or the denoiser's class takes no other attention.
    """
    denoiser = denoiser_of(pipe)
    before = _AttentionBackendRegistry._active_backend
    try:
        denoiser.set_attention_backend(name or "native")
    except (RuntimeError, ImportError) as error:
        raise CannotAttend("package") from error
    finally:
        _AttentionBackendRegistry.set_active_backend(before)
    if not any(hasattr(getattr(module, "processor", None), "_attention_backend") for module in denoiser.modules()):
        raise CannotAttend("denoiser")


def choose_backend(
    model: str, name: str, pipe: DiffusionPipeline, pace: Callable[[], float], measured: Measured, key: str
) -> str:
    """Set the backend if it is measured to be quicker; returns its name, or empty for torch's.

    Args:
        model: the model's name, for the log.
        name: the backend that the operator names.
        pipe: the model's pipeline.
        pace: times a step; raises GenerationError if it cannot be taken.
        measured: where the outcome is kept, for the next start and `limner doctor`.
        key: names the model and all that its time depends on.
    """
    try:
        set_backend(pipe, name)
        part = _part(measured.get("attention", key))
        if part is None:
            part = _timed(pipe, name, pace)
            log.info("attention_measured model=%s backend=%s time=%.2f", model, name, part)
    except CannotAttend as error:
        log.warning("attention_not_set model=%s backend=%s reason=%s", model, name, error)
        measured.put("attention", key, {"problem": str(error)})
        part = 1.0
    else:
        measured.put("attention", key, {"time": part})
    if part < 1:
        return name
    _back(pipe)
    return ""


def _timed(pipe: DiffusionPipeline, name: str, pace: Callable[[], float]) -> float:
    """The time of a step with the backend, as a part of the usual one."""
    seconds: dict[str, list[float]] = {"": [], name: []}
    for _ in range(ROUNDS):
        for one, times in seconds.items():
            set_backend(pipe, one)
            try:
                times.append(pace())
            except GenerationError as error:
                raise CannotAttend("device" if one else "untimed") from error
    return min(seconds[name]) / min(seconds[""])


def _back(pipe: DiffusionPipeline) -> None:
    for module in denoiser_of(pipe).modules():
        if hasattr(getattr(module, "processor", None), "_attention_backend"):
            module.processor._attention_backend = None


def _part(kept: Any) -> float | None:
    time = kept.get("time") if isinstance(kept, dict) else None
    return float(time) if isinstance(time, int | float) and time > 0 else None
