"""The training loop of all families: exactly resumable checkpoints, moving average, visible progress."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from limner.generators.sentences import sentence, shown
from limner.generators.training.curves import draw_curve
from limner.generators.training.errors import TrainingError
from limner.generators.training.losses import EVENTS, LOSSES, Events, LossTable
from limner.generators.training.plan import Plan, Task
from limner.generators.training.progress import StopSignal, TrainingProgress

CHECKPOINT = "checkpoint.safetensors"
KEPT = "kept."
"""Prefix of a network's buffers in a checkpoint."""
SHEETS = 0.05
"""Part of the time that sheets of samples may take, as other processes wait for the one that paints them."""
VERSION = 1
"""Of the checkpoint's format."""


class Trainer:
    """Trains one task in one folder.

    Weights are kept in float32 in one flat tensor, in addition to the network's own precision; so are their moving
    average and the optimiser's two moments. With several processes each takes a part of every batch, and the gradients
    are averaged.
    """

    def __init__(self, task: Task, plan: Plan, folder: Path) -> None:
        self._task, self._plan, self._folder = task, plan, folder
        self._rank, self._world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        if self._world > plan.batch:
            raise TrainingError(
                sentence(
                    "{processes} processes cannot share a step of {most} pictures; start at most {most}.",
                    processes=self._world,
                    most=plan.batch,
                )
            )
        self._parameters = [part for part in task.network.parameters() if part.requires_grad]
        self._weights = nn.Parameter(torch.cat([part.detach().float().reshape(-1) for part in self._parameters]))
        self._average = self._weights.detach().clone()
        self._optimizer = torch.optim.AdamW(
            [self._weights],
            lr=plan.learning_rate,
            betas=(plan.momentum, 0.99),
            weight_decay=plan.weight_decay,
            fused=True,
        )
        # What the processes share in a step: gradient, loss, whether one of them was asked to stop, the loss's parts.
        self._shared = torch.zeros(len(self._average) + 2 + len(task.parts), device=self._weights.device)
        self._weights.grad = self._shared[: len(self._average)]
        self._rooms = list(zip(_cut(self._shared, self._parameters), self._parameters, strict=True))
        self._table = LossTable(task.parts)
        self._order: tuple[int, list[int]] = (-1, [])
        self.step = 0
        self.seconds = 0.0
        self._next_sheet = 0.0
        if (folder / CHECKPOINT).is_file():
            self._resume()
        elif self._world > 1:
            dist.broadcast(self._weights.data, 0)
        _write(self._weights.data, self._parameters)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self._rank == 0

    @property
    def losses(self) -> list[tuple[int, float]]:
        """Every step's number and mean loss so far."""
        return self._table.pairs()

    def run(self, *, minutes: float | None = None, show: bool = True) -> bool:
        """Learn until the plan is done (then True), ``minutes`` have passed or the process is asked to stop.

        Raises:
            TrainingError: the loss is not a number, or the disk is full; the last checkpoint stays. Or TensorBoard is
                wanted, and not installed.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        events = Events(self._table, self._folder / EVENTS) if self._plan.tensorboard and self.leads else None
        asked = StopSignal()
        begun = saved = time.monotonic()
        first = self.step
        with TrainingProgress(self._plan, show and self._rank == 0) as tell:
            while self.step < self._plan.steps:
                late = minutes is not None and time.monotonic() - begun >= minutes * 60
                if self._take_step(stop=late or asked.stop):
                    break
                now = time.monotonic()
                tell(self.step, self._table.pairs(100), (self.step - first) * self._plan.batch / (now - begun))
                if now - saved >= self._plan.checkpoint_seconds:
                    saved = now
                    self._save(now - begun, events)
        self._save(time.monotonic() - begun, events, last=True)
        if events:
            events.close()
        asked.forget()
        return self.step >= self._plan.steps

    def use_average(self) -> None:
        """Copy the moving average into the network, for samples and the export."""
        _write(self._average, self._parameters)

    def _take_step(self, *, stop: bool) -> bool:
        """Take one step; True if a process was asked to stop.

        A process alone takes no step then. One of several tells the others with its gradient, so all of them finish the
        step: the buffers that its loss has changed, such as a pool of pictures, are those of whole steps.
        """
        if stop and self._world == 1:
            return True
        plan, begun = self._plan, time.monotonic()
        numbers = self._numbers()[self._rank :: self._world]
        random = torch.Generator().manual_seed((plan.seed * 1_000_003 + self.step) * 64 + self._rank)
        self._task.progress = self.step / plan.steps
        self._shared.zero_()
        for part in _split(numbers, plan.accumulation):
            self._add(part, random)
        self._shared[len(self._average) + 1] = float(stop)
        if self._world > 1:
            dist.all_reduce(self._shared)
            self._shared /= self._world
        mean, asked, *found = self._shared[len(self._average) :].tolist()
        norm = float(self._weights.grad.norm())
        if not math.isfinite(norm) or not math.isfinite(mean):
            raise TrainingError(
                sentence(
                    "The loss is no longer a number at step {step}; the last checkpoint is kept: go on from it with a "
                    "smaller --learning-rate than {rate:g}, or with another --seed.",
                    step=self.step + 1,
                    rate=plan.learning_rate,
                )
            )
        self._weights.grad.mul_(min(1.0, plan.clip / (norm + 1e-6)))
        rate = plan.rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._average.lerp_(self._weights.data, 1 - min(plan.ema, (1 + self.step) / (10 + self.step)))
        _write(self._weights.data, self._parameters)
        self.step += 1
        self._table.append([self.step, mean, *found, rate, plan.batch / (time.monotonic() - begun)])
        return asked > 0

    def _add(self, numbers: list[int], random: torch.Generator) -> None:
        """Add the gradient and loss of these pictures to the shared sums, weighted as their part of the step's mean."""
        share = len(numbers) * self._world / self._plan.batch
        for part in self._parameters:
            part.grad = None
        total, parts = self._task.loss(numbers, random)
        (total * share).backward()
        rooms = [(room, part.grad) for room, part in self._rooms if part.grad is not None]
        torch._foreach_add_(*map(list, zip(*rooms, strict=True)))
        noted = torch.stack([total, *(parts[name] for name in self._task.parts)]).detach().float() * share
        rest = self._shared[len(self._average) :]
        rest[0] += noted[0]
        rest[2:] += noted[1:]

    def _numbers(self) -> list[int]:
        """The indices of this step's pictures: each epoch has an order of its own."""
        wanted = range(self.step * self._plan.batch, (self.step + 1) * self._plan.batch)
        return [self._in_epoch(place // self._task.size)[place % self._task.size] for place in wanted]

    def _in_epoch(self, epoch: int) -> list[int]:
        if self._order[0] != epoch:
            random = torch.Generator().manual_seed(self._plan.seed * 1_000_003 + epoch)
            self._order = (epoch, torch.randperm(self._task.size, generator=random).tolist())
        return self._order[1]

    def _save(self, seconds: float, events: Events | None, *, last: bool = False) -> None:
        if self._rank:
            return
        state = self._optimizer.state.get(self._weights)
        tensors = {"weights": self._weights.data, "average": self._average}
        tensors |= {KEPT + name: buffer for name, buffer in self._buffers().items()}
        if state:
            tensors |= {"first_moment": state["exp_avg"], "second_moment": state["exp_avg_sq"]}
        header = {"version": VERSION, "family": self._task.family, "step": self.step, "seconds": self.seconds + seconds}
        header |= {"data": self._task.fingerprint}
        target = self._folder / CHECKPOINT
        part = target.with_suffix(".part")
        try:
            save_file(tensors, part, {"training": json.dumps(header | {"plan": asdict(self._plan)})})
            os.replace(part, target)
            self._table.write(self._folder / LOSSES)
            if events:
                events.write()
            draw_curve(self._table.pairs()).save(self._folder / "losses.png")
            if last or time.monotonic() >= self._next_sheet:
                self._paint_sheet()
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise TrainingError(
                sentence(
                    "The checkpoint cannot be written, perhaps because the disk is full; the one before it is kept: "
                    "make room and go on."
                )
            ) from error
        finally:
            _write(self._weights.data, self._parameters)

    def _paint_sheet(self) -> None:
        begun = time.monotonic()
        self.use_average()
        self._task.sample().save(self._folder / "samples.png")
        ended = time.monotonic()
        self._next_sheet = ended + (ended - begun) / SHEETS

    def _buffers(self) -> dict[str, Tensor]:
        """The network's buffers."""
        learnt = dict(self._task.network.named_parameters())
        return {name: part for name, part in self._task.network.state_dict().items() if name not in learnt}

    def _resume(self) -> None:
        header, tensors = _read(self._folder)
        if header.get("family") != self._task.family or len(tensors["weights"]) != len(self._average):
            raise TrainingError(
                sentence(
                    "{folder} holds the checkpoint of another training ({family}); choose another folder.",
                    folder=self._folder,
                    family=header.get("family", "unknown"),
                )
            )
        if header.get("version", VERSION) != VERSION or not {KEPT + name for name in self._buffers()} <= tensors.keys():
            raise TrainingError(
                sentence(
                    "{folder} holds the checkpoint of another version of Limner; choose another folder.",
                    folder=self._folder,
                )
            )
        if header.get("data", self._task.fingerprint) != self._task.fingerprint and self.leads:
            print(
                shown(
                    sentence(
                        "{folder} has learnt from other pictures or captions; it goes on with these. To begin again, "
                        "choose another folder.",
                        folder=self._folder,
                    )
                ),
                flush=True,
            )
        self.step, self.seconds = header["step"], header["seconds"]
        self._weights.data.copy_(tensors["weights"])
        self._average.copy_(tensors["average"])
        for name, buffer in self._buffers().items():
            buffer.copy_(tensors[KEPT + name])
        if "first_moment" in tensors:
            self._optimizer.state[self._weights] = {
                "step": torch.tensor(float(self.step)),
                "exp_avg": tensors["first_moment"].to(self._weights.device),
                "exp_avg_sq": tensors["second_moment"].to(self._weights.device),
            }
        self._table.read(self._folder / LOSSES, self.step)


def read_average(folder: Path, network: nn.Module) -> int:
    """Put the moving average of the checkpoint in ``folder`` into the network; returns its step."""
    header, tensors = _read(folder)
    _write(tensors["average"], [part for part in network.parameters() if part.requires_grad])
    return header["step"]


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and tensors of the checkpoint in ``folder``."""
    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            header = json.loads((file.metadata() or {}).get("training", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(
            sentence("{file} is damaged; put a copy of it back, or delete it to begin again.", file=folder / CHECKPOINT)
        ) from error


@torch.no_grad()
def _write(row: Tensor, parameters: list[nn.Parameter]) -> None:
    torch._foreach_copy_(parameters, _cut(row, parameters))


def _cut(row: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """The slices of the flat tensor for each parameter, in its shape."""
    starts = accumulate((part.numel() for part in parameters), initial=0)
    return [row[at : at + part.numel()].view(part.shape) for at, part in zip(starts, parameters, strict=False)]


def _split(numbers: list[int], parts: int) -> list[list[int]]:
    """Split numbers into parts of nearly equal size; fewer parts for fewer numbers."""
    size = math.ceil(len(numbers) / parts)
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]
