"""Decides where the language model runs beside the image model; prints JSON as a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from limner.generators.cards.model_files import default_weights, read_header
from limner.generators.errors import DeviceLost

Policy = Literal["cpu", "resident", "swap"]

WORKING_SHARE = 0.25
"""Memory that must stay free on a device, as a share of the weights: for latents, activations, attention cache."""
WORKING_BYTES = 2**30
"""The least that must stay free."""
BUNDLED_BYTES = 4 * 134_515_008
"""SmolLM2-135M's parameters in float32."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Sizes:
    """The bytes that compete for a device.

    Attributes:
        free: free memory of the device; None without an accelerator.
        image_model: weights of the image model on the device at a time.
        language_model: weights of the language model.
    """

    free: int | None
    image_model: int
    language_model: int


def choose(wanted: str, sizes: Sizes, *, movable: bool = True) -> Policy:
    """Where the language model runs: on the CPU, on the device beside the image model, or there in turn with it.

    In turn (swap) means: painting pauses between two steps and its weights move to main memory while the language model
    is on the device. That costs two moves of both for each description, so staying together is preferred.

    Args:
        wanted: auto, or the operator's policy; without an accelerator all are the CPU.
        sizes: the free bytes and those of both models.
        movable: whether the image model's weights can be moved as a whole (not if they are offloaded piece by piece).
    """
    if sizes.free is None or wanted == "cpu":
        return "cpu"
    if wanted == "resident" or (wanted == "swap" and movable):
        return wanted
    if _with_working_room(sizes.image_model + sizes.language_model) <= sizes.free:
        return "resident"
    if movable and _with_working_room(max(sizes.image_model, sizes.language_model)) <= sizes.free:
        return "swap"
    return "cpu"


def _with_working_room(weights: int) -> int:
    return weights + max(WORKING_BYTES, int(weights * WORKING_SHARE))


def describe(policy: Policy, sizes: Sizes) -> str:
    """The policy in words, with its numbers."""
    language_model, image_model = _gigabytes(sizes.language_model), _gigabytes(sizes.image_model)
    if sizes.free is None:
        return f"language model on the CPU: {language_model}; no accelerator"
    where = {
        "cpu": f"language model on the CPU: {language_model}; the image model alone on the GPU: {image_model}",
        "resident": f"language model and image model both on the GPU: {language_model} + {image_model}",
        "swap": f"language model and image model on the GPU in turn: {language_model} and {image_model}",
    }
    return f"{where[policy]} of {_gigabytes(sizes.free)} free"


def _gigabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def image_model_bytes(source: str, *, dtype: str, offload: str) -> int:
    """Device bytes of a diffusers folder or checkpoint: its weights in ``dtype``, or its largest part if offloaded."""
    folder = _local(source)
    parts = [_parameters(part) for part in folder.iterdir() if part.is_dir()] if folder else []
    parts += [_parameters(Path(source))] if Path(source).is_file() else []
    if not parts or offload == "sequential":
        return 0
    return BYTES[dtype] * (max(parts) if offload == "model" else sum(parts))


def language_model_bytes(source: str, *, dtype: str) -> int:
    """Bytes of a language model's folder or hub name in ``dtype``; 0 if it is not on this machine yet."""
    folder = _local(source)
    return BYTES[dtype] * _parameters(folder) if folder else 0


def _parameters(weights: Path) -> int:
    """The number of parameters in a folder or file; none if it is broken, which `limner doctor` reports."""
    try:
        headers = [read_header(file) for file in ([weights] if weights.is_file() else default_weights(weights))]
    except ValueError:
        return 0
    return sum(prod(tensor["shape"]) for header in headers for tensor in header.values())


def _local(source: str) -> Path | None:
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    for name in ("model_index.json", "config.json"):
        found = try_to_load_from_cache(source, name)
        if isinstance(found, str):
            return Path(found).parent
    return None


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """The image model that an expander shares its device with.

    Attributes:
        device: auto, cuda, cuda:1, mps or cpu.
        source: the diffusers folder or hub name of its usual model.
        dtype: its number format; auto is half precision on an accelerator.
        offload: none, model or sequential.
        wanted: the operator's policy for the language model: auto, cpu, resident or swap.
        aside: a context manager; inside it nothing is painted and the device is free.
    """

    device: str = "cpu"
    source: str = ""
    dtype: str = "auto"
    offload: str = "none"
    wanted: str = "auto"
    aside: Callable[[], AbstractContextManager[None]] = nullcontext

    def place(self, language_model: str) -> tuple[Policy, Sizes]:
        """Where a language model runs beside this image model here: a folder or hub name; empty: the bundled one."""
        from limner.generators.device import free_memory, pick_device

        free = free_memory(pick_device(self.device))
        half = "float32" if free is None else "bfloat16"
        image_model = image_model_bytes(
            self.source, dtype=self.dtype if self.dtype in BYTES else half, offload=self.offload
        )
        if not language_model:  # it is so small that a CPU core is as fast, and it needs float32 there
            return "cpu", Sizes(free, image_model, BUNDLED_BYTES)
        sizes = Sizes(free, image_model, language_model_bytes(language_model, dtype=half))
        policy = choose(self.wanted, sizes, movable=self.offload == "none")
        return policy, sizes if policy != "cpu" else replace(
            sizes, language_model=language_model_bytes(language_model, dtype="float32")
        )


def report(neighbour: Neighbour, language_model: str) -> dict[str, Any]:
    """The devices of this machine and, if the image model's is there, where a language model would run."""
    from limner.generators.device import check, found

    try:
        check(neighbour.device)
    except DeviceLost:
        return found()
    policy, sizes = neighbour.place(language_model)
    return {**found(), "policy": policy, "placement": describe(policy, sizes), "sizes": asdict(sizes)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(report(Neighbour(**asked["image_model"]), asked["language_model"])))
