"""Finds and tests devices; `python -m limner.generators.device` prints them as JSON."""

# pyright: basic

from __future__ import annotations

import json
import os
from typing import Any

import torch

from limner.generators.errors import DeviceLost


def pick_device(name: str) -> torch.device:
    """The device of that name; auto is the first CUDA GPU, else an Apple GPU, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def check(name: str) -> None:
    """Run a computation on the device; raises DeviceLost if it fails."""
    try:
        device = pick_device(name)
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built without that kind of device
        raise DeviceLost from error


def free_memory(device: torch.device) -> int | None:
    """Free bytes of an accelerator; None for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return torch.mps.recommended_max_memory() if device.type == "mps" else None


def title_of(device: torch.device) -> str:
    """The device's product name, or its kind; for a CPU the number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu with {os.cpu_count()} cores" if device.type == "cpu" else device.type


def found() -> dict[str, Any]:
    """torch's version, the names of CUDA GPUs, and whether there is an Apple GPU."""
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"version": torch.__version__, "cuda": cuda, "mps": torch.backends.mps.is_available()}


if __name__ == "__main__":
    print(json.dumps(found()))
