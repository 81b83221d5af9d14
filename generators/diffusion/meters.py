"""Reads how much memory a device has free, and how much painting took at most."""

# pyright: basic

from __future__ import annotations

import ctypes
import math
import sys
from pathlib import Path
from typing import Protocol

import psutil
import torch


class Meter(Protocol):
    """Reads a device's memory."""

    def free(self) -> float:
        """Bytes that this process could still take."""
        ...

    def reset(self) -> None:
        """Begin a measurement."""
        ...

    def peak(self) -> int:
        """The most bytes that were in use at any time since `reset`, beyond those in use then."""
        ...


def meter_of(device: torch.device) -> Meter | None:
    """The meter for a device; None where its memory cannot be read."""
    if device.type == "cuda":
        return _CudaMeter(device)
    if device.type == "mps":
        return _MpsMeter()
    if device.type == "cpu" and sys.platform == "linux" and _ProcessMeter.CLEAR.exists():
        return _ProcessMeter()
    return None


class _CudaMeter:
    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return torch.cuda.mem_get_info(self._device)[0] + unused

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device) - self._before


class _MpsMeter:
    """Metal has no peak counter, but torch's allocator keeps what it took until its cache is emptied."""

    def free(self) -> int:
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()

    def reset(self) -> None:
        torch.mps.empty_cache()
        self._before = torch.mps.driver_allocated_memory()

    def peak(self) -> int:
        torch.mps.synchronize()
        return torch.mps.driver_allocated_memory() - self._before


class _ProcessMeter:
    """The CPU has no counting allocator: Linux's resident set of this process is measured (proc(5), clear_refs)."""

    CLEAR = Path("/proc/self/clear_refs")

    def free(self) -> float:
        return min(psutil.virtual_memory().available, _container_room())

    def reset(self) -> None:
        ctypes.CDLL(None).malloc_trim(0)  # otherwise painting reuses pages that the process never gave back
        self.CLEAR.write_text("5", encoding="ascii")
        self._before = self._read("VmRSS")

    def peak(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _container_room(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes left up to a container's limit, which the machine's free memory does not show (cgroup v2).

    File pages that the kernel can drop are not counted.
    """
    try:
        limit, used = (int((folder / f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):  # no such limit: the file is missing or says "max"
        return math.inf
    return limit - used + int(stat["inactive_file"])
