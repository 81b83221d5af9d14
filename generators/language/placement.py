"""Where the language model runs beside the painter; prints JSON as a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from limner.generators.base import DeviceLost
from limner.generators.model_files import default_weights, read_header

Policy = Literal["cpu", "resident", "swap"]

WORKING_SHARE = 0.25
"""Of the weights on a device, what must stay free beside them: for latents, activations and the attention cache."""
WORKING_BYTES = 2**30
"""The least that must stay free."""
BUNDLED_BYTES = 4 * 134_515_008
"""SmolLM2-135M's parameters in float32."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Sizes:
    """What competes for a device, in bytes.

    Attributes:
        free: memory of the device that nobody has taken yet; None where there is no accelerator.
        painter: weights of the picture model that are on the device at a time.
        writer: weights of the language model.
    """

    free: int | None
    painter: int
    writer: int


def choose(wanted: str, sizes: Sizes, *, movable: bool = True) -> Policy:
    """Where the language model runs: on the CPU, on the device beside the painter, or there in turn with it.

    In turn (swap) means: the painter stops between two steps and its weights wait in main memory while the language
    model is on the device. That costs two moves of both for each description, so it comes after staying together.

    Args:
        wanted: auto, or the policy that the operator has chosen; without an accelerator all are the CPU.
        sizes: what is free and what is to go there.
        movable: whether the painter's weights can be moved as a whole (not if they are offloaded piece by piece).
    """
    if sizes.free is None or wanted == "cpu":
        return "cpu"
    if wanted == "resident" or (wanted == "swap" and movable):
        return wanted
    if _with_working_room(sizes.painter + sizes.writer) <= sizes.free:
        return "resident"
    if movable and _with_working_room(max(sizes.painter, sizes.writer)) <= sizes.free:
        return "swap"
    return "cpu"


def _with_working_room(weights: int) -> int:
    return weights + max(WORKING_BYTES, int(weights * WORKING_SHARE))


def describe(policy: Policy, sizes: Sizes) -> str:
    """The policy in words, with its numbers."""
    writer, painter = _gigabytes(sizes.writer), _gigabytes(sizes.painter)
    if sizes.free is None:
        return f"language model on the CPU: {writer}; no accelerator"
    where = {
        "cpu": f"language model on the CPU: {writer}; the painter alone on the GPU: {painter}",
        "resident": f"language model and painter both on the GPU: {writer} + {painter}",
        "swap": f"language model and painter on the GPU in turn: {writer} and {painter}",
    }
    return f"{where[policy]} of {_gigabytes(sizes.free)} free"


def _gigabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def painter_bytes(source: str, *, dtype: str, offload: str) -> int:
    """What a diffusers folder takes of a device: its weights in ``dtype``, or its largest part if it is offloaded."""
    folder = _local(source)
    parts = [_parameters(part) for part in folder.iterdir() if part.is_dir()] if folder else []
    if not parts or offload == "sequential":
        return 0
    return BYTES[dtype] * (max(parts) if offload == "model" else sum(parts))


def writer_bytes(source: str, *, dtype: str) -> int:
    """What a language model's folder or hub name takes in ``dtype``; 0 where it is not on this machine yet."""
    folder = _local(source)
    return BYTES[dtype] * _parameters(folder) if folder else 0


def _parameters(folder: Path) -> int:
    """How many numbers the weights in a folder hold; none if a file is broken, which is told elsewhere."""
    try:
        headers = [read_header(file) for file in default_weights(folder)]
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
    """The painter that an expander shares its device with.

    Attributes:
        device: auto, cuda, cuda:1, mps or cpu.
        source: the diffusers folder or hub name of its usual model.
        dtype: its number format; auto is half precision on an accelerator.
        offload: none, model or sequential.
        wanted: the operator's policy for the language model: auto, cpu, resident or swap.
        aside: gives a block inside which nothing is painted and the device is free.
    """

    device: str = "cpu"
    source: str = ""
    dtype: str = "auto"
    offload: str = "none"
    wanted: str = "auto"
    aside: Callable[[], AbstractContextManager[None]] = nullcontext

    def place(self, writer: str) -> tuple[Policy, Sizes]:
        """Where a language model runs beside this painter on this machine: a folder or hub name, empty: the bundled."""
        from limner.generators.device import free_memory, pick_device

        free = free_memory(pick_device(self.device))
        half = "float32" if free is None else "bfloat16"
        painter = painter_bytes(self.source, dtype=half if self.dtype == "auto" else self.dtype, offload=self.offload)
        if not writer:  # so small that a core is as good, and it needs float32 there
            return "cpu", Sizes(free, painter, BUNDLED_BYTES)
        sizes = Sizes(free, painter, writer_bytes(writer, dtype=half))
        policy = choose(self.wanted, sizes, movable=self.offload == "none")
        return policy, sizes if policy != "cpu" else replace(sizes, writer=writer_bytes(writer, dtype="float32"))


def report(neighbour: Neighbour, writer: str) -> dict[str, Any]:
    """What torch finds on this machine and, if the painter's device is there, where a language model would run."""
    from limner.generators.device import check, found

    try:
        check(neighbour.device)
    except DeviceLost:
        return found()
    policy, sizes = neighbour.place(writer)
    return {**found(), "policy": policy, "placement": describe(policy, sizes), "sizes": asdict(sizes)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(report(Neighbour(**asked["painter"]), asked["writer"])))
