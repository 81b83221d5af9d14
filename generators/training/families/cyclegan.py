"""Trains CycleGANs (Zhu 2017): from two folders of unpaired pictures to a model for each direction."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.one_pass.cyclegan import FAMILY, save
from limner.generators.one_pass.translators import STRIDE, Depth, PatchCritic, Translator
from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.errors import TrainingError
from limner.generators.training.loop import CHECKPOINT, Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import gather, launch, once, own_device

CYCLE = 10.0
"""Weight of the cycle-consistency loss."""
IDENTITY = 5.0
"""Weight of the identity loss (changes to a picture of the target kind), which preserves colours."""
SMALLEST = 16
REMEMBERED = 50
PLAN = Plan(
    samples=40_000,
    batch=2,
    learning_rate=2e-4,
    warmup=1,
    decay=0.5,
    weight_decay=0.0,
    clip=100.0,
    momentum=0.5,
)
"""The paper's learning rate, which falls in the second half."""
SHOWN = 8


class Memory(nn.Module):
    """A pool of earlier outputs that a critic sees again, so that it does not forget them (Shrivastava 2017).

    The pictures are buffers, and so part of the checkpoint. With several processes the pool is the same in all of them.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(REMEMBERED, 3, side, side))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def exchange(self, painted: Tensor, random: torch.Generator) -> Tensor:
        """As many pictures as given: once the pool is full, each is replaced by an older one with probability 1/2."""
        drawn = torch.rand(len(painted), 2, generator=random)
        rank = torch.full((len(painted), 1), float(dist.get_rank() if dist.is_initialized() else 0))
        everybody = gather(torch.cat([drawn, rank], dim=1).to(painted.device)).tolist()
        met = [
            (whose, self._exchange(picture, chance, place))
            for picture, (chance, place, whose) in zip(gather(painted.detach()), everybody, strict=True)
        ]
        return torch.stack([picture for whose, picture in met if whose == rank[0, 0]])

    def _exchange(self, picture: Tensor, chance: float, drawn: float) -> Tensor:
        place = int(self.count)
        if place < len(self.pictures):
            self.pictures[place] = picture
            self.count += 1
            return picture
        if chance < 0.5:
            return picture
        place = int(drawn * len(self.pictures))
        older = self.pictures[place].clone()
        self.pictures[place] = picture
        return older


class CycleGANTask:
    """Two translators learn to deceive two critics, and to invert each other (Zhu 2017), with least-squares losses.

    All are updated from one backward pass: the translators' loss uses frozen critics, the critics' loss detached
    pictures.
    """

    family = FAMILY
    parts = ("generator", "discriminator", "cycle", "identity")
    progress = 0.0

    def __init__(self, depth: Depth, a: PictureFolder, b: PictureFolder, device: torch.device) -> None:
        self._a, self._b, self._device, self.size = a, b, device, max(len(a), len(b))
        self.fingerprint = f"{a.fingerprint} {b.fingerprint}"
        self._forth, self._back = Translator(depth), Translator(depth)
        self._critic_a, self._critic_b = PatchCritic(depth.width), PatchCritic(depth.width)
        self._memory_a, self._memory_b = Memory(a.side), Memory(a.side)
        parts = {"forth": self._forth, "back": self._back, "critic_a": self._critic_a, "critic_b": self._critic_b}
        parts |= {"memory_a": self._memory_a, "memory_b": self._memory_b}
        self.network = nn.ModuleDict(parts).to(device)

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The translators' and the critics' losses; each picture of one kind meets any of the other."""
        others = torch.randint(self.size, (len(numbers),), generator=random).tolist()
        a, b = self._pixels(self._a, numbers), self._pixels(self._b, others)
        as_b, as_a = self._forth(a), self._back(b)
        cycle = functional.l1_loss(self._back(as_b), a) + functional.l1_loss(self._forth(as_a), b)
        same = functional.l1_loss(self._forth(b), b) + functional.l1_loss(self._back(a), a)
        deceived = _deceived(self._critic_b, as_b) + _deceived(self._critic_a, as_a)
        judged = _judged(self._critic_b, b, self._memory_b.exchange(as_b, random))
        judged = judged + _judged(self._critic_a, a, self._memory_a.exchange(as_a, random))
        total = CYCLE * cycle + IDENTITY * same + deceived + judged
        return Loss(total, {"generator": deceived, "discriminator": judged, "cycle": cycle, "identity": same})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures of the first kind above their translations, and the same for the other direction."""
        rows: list[Image.Image] = []
        for pictures, translator in ((self._a, self._forth), (self._b, self._back)):
            pixels = self._pixels(pictures, list(range(SHOWN)))
            rows += to_images(pixels) + to_images(translator(pixels))
        return lay_out([image.resize((96, 96)) for image in rows], SHOWN)

    def _pixels(self, pictures: PictureFolder, numbers: list[int]) -> Tensor:
        return pictures.pixels([number % len(pictures) for number in numbers]).to(self._device)


def _deceived(critic: PatchCritic, painted: Tensor) -> Tensor:
    still = {name: part.detach() for name, part in critic.named_parameters()}
    return (torch.func.functional_call(critic, still, (painted,)) - 1).square().mean()


def _judged(critic: PatchCritic, real: Tensor, painted: Tensor) -> Tensor:
    return ((critic(real) - 1).square().mean() + critic(painted).square().mean()) / 2


@dataclass(frozen=True, kw_only=True)
class CycleGANRecipe:
    """Data and sizes of the two models.

    Attributes:
        a: a folder that `limner train data` has made; ``b`` one with pictures of the other kind, of the same size.
        folder: the training's folder; the results are its folders ``model`` (a to b) and ``model-back``.
        width: channels at the finest level, and ``blocks`` residual blocks in the middle.
    """

    a: Path
    b: Path
    folder: Path
    width: int = 32
    blocks: int = 6
    plan: Plan = PLAN

    @property
    def depth(self) -> Depth:
        """The sizes of the translators."""
        return Depth(self.width, self.blocks)


def train_cyclegan(recipe: CycleGANRecipe, *, minutes: float | None = None, processes: int | None = 1) -> list[Path]:
    """Continue the training; returns the models' folders, none if there are none yet.

    Raises:
        TrainingError: the pictures cannot be used, or the training cannot go on.
    """
    a, b = PictureFolder(recipe.a), PictureFolder(recipe.b)
    if a.side != b.side or a.side < SMALLEST:
        raise TrainingError(
            sentence(
                "The pictures are {side} and {side_2} pixels wide; both folders need the same side, at least "
                "{smallest}.",
                side=a.side,
                side_2=b.side,
                smallest=SMALLEST,
            )
        )
    launch(_train, processes, recipe, minutes, batch=recipe.plan.batch)
    return once(_export, recipe) if (recipe.folder / CHECKPOINT).is_file() else []


def _train(recipe: CycleGANRecipe, minutes: float | None) -> None:
    Trainer(_build(recipe, own_device()), recipe.plan, recipe.folder).run(minutes=minutes)


def _build(recipe: CycleGANRecipe, device: torch.device) -> CycleGANTask:
    torch.manual_seed(recipe.plan.seed)
    return CycleGANTask(recipe.depth, PictureFolder(recipe.a), PictureFolder(recipe.b), device)


def _export(recipe: CycleGANRecipe) -> list[Path]:
    """Write both models with the averaged weights of the last checkpoint."""
    task = _build(recipe, torch.device("cpu"))
    read_average(recipe.folder, task.network)
    side = PictureFolder(recipe.a).side
    card: dict[str, Any] = {"width": side, "height": side, "multiple_of": STRIDE, "num_inference_steps": 1}
    card |= {"guidance_scale": 1.0, "max_added_words": 0, "restyles": True}
    for part, folder, target in (("forth", "model", recipe.b), ("back", "model-back", recipe.a)):
        save(recipe.folder / folder, recipe.depth, task.network[part], {"title": _title(target), **card})
    return [recipe.folder / "model", recipe.folder / "model-back"]


def _title(pictures: Path) -> str:
    """The pictures' folder name, without the parts that `limner train data` has added."""
    folder = pictures.resolve()
    return (folder.parent if folder.name == "train" else folder).name.removesuffix("-ready")
