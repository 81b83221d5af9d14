"""Trains a small network that removes noise and blur from drawings, and doubles them."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.clip import blurred, kept_back, soften
from limner.generators.training.loop import Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import launch, once, own_device, quick_precision
from limner.generators.vision.restoration_network import TASKS, RestorationNetwork

PLAN = Plan(samples=100_000, batch=16, learning_rate=1e-3, warmup=200, ema=0.998, decay=0.5, weight_decay=0.0)
SIDE = 64
"""Width and height of the square that is learnt from in each picture."""
NOISE = 0.3
"""Most noise: its standard deviation where pixels are from -1 to 1 (38 of 255 levels)."""
BLUR = (0.4, 2.5)
"""Least and most blur: its standard deviation in pixels."""
GRAIN = 0.02
"""Most noise in what is blurred or small (2.5 levels), so that it is not taken for detail."""
SHOWN = 6


class Decibels(NamedTuple):
    """Mean peak signal-to-noise ratio of degraded pictures (small ones enlarged bicubically), and of restored ones."""

    before: float
    after: float


class RestorationTask:
    """Learns to undo noise, blur and halving; the loss of each task is the mean absolute error of pixels."""

    family = "restoration"
    parts: tuple[str, ...] = tuple(TASKS)
    progress = 0.0

    def __init__(self, network: RestorationNetwork, pictures: PictureFolder) -> None:
        self.network: Any = network.train()
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), pictures.fingerprint
        self._pictures = pictures

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The loss of every task on a square of each picture."""
        pixels = squares(self._pictures.pixels(numbers), random)
        at = self.network.first.weight
        parts: dict[str, Tensor] = {}
        for task in TASKS:
            worse, wanted = degrade(pixels, task, random)
            found = self.network(worse.to(at, memory_format=torch.channels_last), task)
            parts[task] = functional.l1_loss(found.float(), wanted.to(at.device))
        return Loss(torch.stack(list(parts.values())).sum(), parts)

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures that were kept back: degraded, restored and as they were, task by task."""
        pixels = self._pictures.pixels(range(self.size, min(self.size + SHOWN, len(self._pictures))))
        random, at = torch.Generator().manual_seed(0), self.network.first.weight
        rows: list[Image.Image] = []
        for task in TASKS:
            worse, wanted = degrade(pixels, task, random)
            for shown in (worse, self.network(worse.to(at), task), wanted):
                rows += [image.resize((96, 96), Image.Resampling.NEAREST) for image in to_images(shown)]
        return lay_out(rows, len(pixels))


def degrade(pixels: Tensor, task: str, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, side, side) as a task gets them, each degraded by chance, and what is wanted of them.

    What is denoised may be blurred, and is to stay so.
    """
    shares = torch.rand(len(pixels), generator=random)
    if task == "denoise":
        wanted = soften(pixels, random)
        return _noisy(wanted, NOISE * shares, random), wanted
    grain = GRAIN * torch.rand(len(pixels), generator=random)
    if task == "deblur":
        least, most = BLUR
        return _noisy(blurred(pixels, least + (most - least) * shares, most), grain, random), pixels
    half = functional.interpolate(pixels, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)
    return _noisy(half, grain, random), pixels


def _noisy(pixels: Tensor, strength: Tensor, random: torch.Generator) -> Tensor:
    """With noise of a standard deviation for each picture, within the levels that a picture file has."""
    noise = torch.randn(pixels.shape, generator=random)
    return (pixels + strength[:, None, None, None] * noise).clamp(-1, 1)


def squares(pixels: Tensor, random: torch.Generator) -> Tensor:
    """A square of each picture, `SIDE` pixels wide or all of it, turned and mirrored by chance."""
    side = min(SIDE, pixels.shape[-1])
    top, left, turns, flips = torch.randint(2**31, (4,), generator=random).tolist()
    room = pixels.shape[-1] - side + 1
    cut = pixels[..., top % room : top % room + side, left % room : left % room + side]
    return (cut.flip(-1) if flips % 2 else cut).rot90(turns % 4, (-2, -1))


@torch.no_grad()
def restored(network: RestorationNetwork, pictures: PictureFolder, numbers: Sequence[int]) -> dict[str, Decibels]:
    """What each task does for pictures that are degraded by chance."""
    random, untrained = torch.Generator().manual_seed(0), RestorationNetwork(8, 0)
    pixels = pictures.pixels(numbers)
    figures: dict[str, Decibels] = {}
    for task in TASKS:
        worse, wanted = degrade(pixels, task, random)
        after = torch.cat([network(part, task) for part in worse.split(16)])
        figures[task] = Decibels(_clarity(untrained(worse, task), wanted), _clarity(after, wanted))
    return figures


def _clarity(found: Tensor, wanted: Tensor) -> float:
    error = ((found.clamp(-1, 1) - wanted) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def train_restoration(
    data: Path, folder: Path, plan: Plan, *, minutes: float | None, processes: int | None
) -> dict[str, Decibels]:
    """Continue the training in ``folder``; the current result is in ``folder/restoration``.

    Returns what `restored` says of the pictures that were kept back.

    Raises:
        TrainingError: there are too few pictures, or the training cannot go on.
    """
    if not kept_back(PictureFolder(data)):
        raise TrainingError(
            sentence("A restoration model needs at least ten pictures, as it is tested with a tenth of them; add some.")
        )
    launch(_train, processes, data, folder, plan, minutes, batch=plan.batch)
    return once(_export, data, folder)


def _train(data: Path, folder: Path, plan: Plan, minutes: float | None) -> None:
    torch.manual_seed(plan.seed)
    device = own_device()
    network: Any = RestorationNetwork()
    network.to(device, quick_precision(device), memory_format=torch.channels_last)
    Trainer(RestorationTask(network, PictureFolder(data)), plan, folder).run(minutes=minutes)


def _export(data: Path, folder: Path) -> dict[str, Decibels]:
    network, pictures = RestorationNetwork().eval(), PictureFolder(data)
    read_average(folder, network)
    network.save(folder / "restoration")
    return restored(network, pictures, range(len(pictures) - kept_back(pictures), len(pictures)))
