"""Where a training runs: on one device, or in several processes that share each step."""

# pyright: basic, reportPrivateImportUsage=false, reportReturnType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.queues import SimpleQueue
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from safetensors import SafetensorError
from torch import Tensor

from limner.generators.sentences import sentence
from limner.generators.training.errors import TrainingError

Result = TypeVar("Result")


def _state() -> PartialState:
    """accelerate's view of the processes; without an accelerator it sees several of them only where it is said so."""
    return PartialState(cpu=not torch.accelerator.is_available())


def own_device() -> torch.device:
    """The device of this process: a GPU of its own where there are any."""
    return _state().device


def quick_precision(device: torch.device) -> torch.dtype:
    """What networks compute in on a device: bfloat16 where it is quicker than float32, with float32 master weights."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else torch.float32


def own_random(random: torch.Generator, device: torch.device) -> torch.Generator:
    """Chance that is drawn on a GPU itself and led by ``random``, as copying it there takes long; else ``random``."""
    if device.type != "cuda":
        return random
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=random)))


def launch(work: Callable[..., None], processes: int | None, *arguments: object, batch: int) -> None:
    """Call ``work(*arguments)`` in this process, or in several that share each step: one for each GPU or core.

    A step of ``batch`` pictures has no more processes than pictures.

    Two single-threaded processes are twice as fast as one with two threads on a CPU. When this process is asked to
    stop, they are: each finishes its step, and the first writes a checkpoint. Under `accelerate launch` or torchrun,
    which have started the processes already, this is one of them, and returns when all of them have done the work.

    Raises:
        TrainingError: one of them raised it.
    """
    processes = min(processes or torch.cuda.device_count() or os.cpu_count() or 1, batch)
    if processes == 1 or "WORLD_SIZE" in os.environ:
        work(*arguments)
        _state().wait_for_everyone()
        return
    complaints = torch.multiprocessing.get_context("spawn").SimpleQueue()
    team = torch.multiprocessing.start_processes(
        _join, (processes, _free_port(), complaints, work, arguments), nprocs=processes, join=False
    )
    assert team is not None  # noqa: S101 - None only if it had waited
    before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in team.processes])
    try:
        while not team.join():
            pass
    except torch.multiprocessing.ProcessExitedException:
        if complaints.empty():
            raise
        raise TrainingError(complaints.get()) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in team.processes:
            process.terminate()  # nobody would wait for one that is left


def once(work: Callable[..., Result], *arguments: object) -> Result:
    """What ``work(*arguments)`` returns in the first of the processes; the others wait for it, and do none of it.

    Raises:
        TrainingError: the work cannot be written.
    """
    state = _state()
    try:
        found = [work(*arguments) if state.is_main_process else None]
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            sentence(
                "The result cannot be written ({error}); the checkpoint is kept: see to that and give the command "
                "again.",
                error=error,
            )
        ) from error
    if state.num_processes > 1:
        dist.broadcast_object_list(found)
    return found[0]


def first_alone() -> AbstractContextManager[None]:
    """The first of the processes goes through the block before the others, which find what it has made."""
    return _state().main_process_first()


def gather(own: Tensor) -> Tensor:
    """The rows (count, ...) of all processes, in the order of their ranks; only this process's own pass a gradient on.

    Processes may have different counts, and all of them have to call it.
    """
    if not dist.is_initialized():
        return own
    count = torch.tensor([len(own)], device=own.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    longest = int(torch.cat(counts).max())
    rows = own.new_zeros(longest, *own.shape[1:])
    rows[: len(own)] = own.detach()
    parts = [torch.empty_like(rows) for _ in counts]
    dist.all_gather(parts, rows)
    parts = [part[: int(found)] for part, found in zip(parts, counts, strict=True)]
    parts[dist.get_rank()] = own
    return torch.cat(parts)


def _join(
    rank: int,
    processes: int,
    port: int,
    complaints: SimpleQueue[str],
    work: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    threads = max(1, (os.cpu_count() or 1) // processes)
    torch.set_num_threads(threads)
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": threads}
    os.environ |= {name: str(value) for name, value in (numbers | meeting).items()}
    _state()
    try:
        work(*arguments)
    except TrainingError as error:
        complaints.put(str(error))
        sys.exit(1)
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
