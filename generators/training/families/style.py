"""Trains style networks, which give any picture one style: of a picture (Johnson 2016), or one that is rendered."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.generators.image_files import OWN_FORMATS, BadImage, open_image
from limner.generators.one_pass.cyclegan import save
from limner.generators.one_pass.translators import STRIDE, Depth, StyleNetwork
from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.data.rendered_styles import RENDERED
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.clip import blurred, kept_back, soften
from limner.generators.training.families.perceptual import ContentFeatures, StyleLoss
from limner.generators.training.families.restoration import squares
from limner.generators.training.loop import Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import launch, once, own_device

PLAN = Plan(samples=12_000, batch=8, learning_rate=2e-3, warmup=50, ema=0.995, decay=0.5, weight_decay=0.0)
GRAIN = 0.06
"""Most noise in a picture while a rendered style is learnt: its standard deviation where pixels are from -1 to 1."""
SOFT = 1.0
"""Blur in pixels of the pictures that a rendered style is judged by, as of what a model paints."""
STYLE = 1.0
"""Weight of the style's distance, as a share of that of unchanged pictures, beside the content's."""
SHOWN = 8
COMPARED = 64
"""Pictures whose distances from the style, and from each other, count as 1."""
JUDGED = 200
"""Pictures of those that were kept back that a network is judged by, at most."""
SMALLEST, MOST_SIDE, MOST_RATIO = 32, 1024, 8.0
"""Least and most pixels of a side of a style's picture, and how many times as long as the other it may be."""
PLAIN = 0.03
"""Standard deviation of pixels from -1 to 1 below which a picture has one colour only."""


@dataclass(frozen=True)
class StyleFigures:
    """How far pictures that were kept back are from a style: unchanged ones have a distance of 1.

    Attributes:
        style: what is left of their distance: in style, or from what the filters render.
        content: how far their content is from what it was: 1 is that of another picture; None for a rendered style.
    """

    style: float
    content: float | None = None


class RenderedStyleTask:
    """Learns to render a style as classical filters do of clean drawings, from drawings that are soft or noisy.

    What is painted by a model is less clean than what is drawn, and the filters alone find no line there.
    """

    family = "rendered-style"
    parts = ("pixels",)
    progress = 0.0

    def __init__(self, network: StyleNetwork, pictures: PictureFolder, style: str) -> None:
        self.network, self._pictures, self._render = network, pictures, RENDERED[style]
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), f"{style} {pictures.fingerprint}"

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The mean absolute error of the pixels of a square of each picture."""
        at = self.network.first.weight
        pixels = squares(self._pictures.pixels(numbers), random)
        noise = torch.randn(len(pixels), 1, *pixels.shape[-2:], generator=random)
        strength = GRAIN * torch.rand(len(pixels), 1, 1, 1, generator=random)
        worse = soften(pixels, random) + strength * torch.randn(pixels.shape, generator=random)
        wanted = self._render(pixels, noise).to(at)
        error = functional.l1_loss(self.network(worse.to(at), noise.to(at)), wanted)
        return Loss(error, {"pixels": error})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures that were kept back: as they are, by the network and by the filters."""
        pixels, noise = _shown(self._pictures, self.size)
        at = self.network.first.weight
        found = self.network(pixels.to(at), noise.to(at))
        rows = [to_images(shown) for shown in (pixels, found, self._render(pixels, noise))]
        return lay_out([image.resize((128, 128)) for row in rows for image in row], len(pixels))

    @torch.no_grad()
    def judge(self) -> StyleFigures:
        """The mean absolute error of pixels, of pictures that were kept back and are as soft as painted ones."""
        pixels, noise = _shown(self._pictures, self.size, JUDGED)
        worse, wanted = blurred(pixels, torch.full((len(pixels),), SOFT), SOFT), self._render(pixels, noise)
        found = _by_parts(self.network, worse, noise)
        return StyleFigures(float((found - wanted).abs().mean() / (worse - wanted).abs().mean()))


class PictureStyleTask:
    """Learns the style of one picture: near to it in style, and to what is changed in content (Johnson 2016)."""

    family = "picture-style"
    parts = ("content", "style")
    progress = 0.0

    def __init__(self, network: StyleNetwork, pictures: PictureFolder, loss: StyleLoss) -> None:
        self.network, self._pictures, self._loss = network, pictures, loss
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), pictures.fingerprint

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The distances in content and style of each picture."""
        at = self.network.first.weight
        pixels = squares(self._pictures.pixels(numbers), random)
        noise = torch.randn(len(pixels), 1, *pixels.shape[-2:], generator=random)
        changed = self.network(pixels.to(at), noise.to(at))
        content, style = self._loss.content(changed, pixels.to(at)), self._loss.style(changed)
        outside = (changed.abs() - 1).clamp(min=0).mean()
        return Loss(content + STYLE * style + outside, {"content": content, "style": style})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures that were kept back, above what the network makes of them."""
        pixels, noise = _shown(self._pictures, self.size)
        at = self.network.first.weight
        rows = to_images(pixels) + to_images(self.network(pixels.to(at), noise.to(at)))
        return lay_out([image.resize((128, 128)) for image in rows], len(pixels))

    @torch.no_grad()
    def judge(self) -> StyleFigures:
        """Of the pictures that were kept back."""
        pixels, noise = _shown(self._pictures, self.size, JUDGED)
        changed = _by_parts(self.network, pixels, noise).clamp(-1, 1)
        return StyleFigures(float(self._loss.style(changed)), float(self._loss.content(changed, pixels)))


def _shown(pictures: PictureFolder, first: int, most: int = SHOWN) -> tuple[Tensor, Tensor]:
    """The pictures from number ``first`` on, and noise of their size."""
    pixels = pictures.pixels(range(first, min(first + most, len(pictures))))
    return pixels, torch.randn(len(pixels), 1, *pixels.shape[-2:], generator=torch.Generator().manual_seed(0))


def _by_parts(network: StyleNetwork, pixels: Tensor, noise: Tensor) -> Tensor:
    return torch.cat([network(*part) for part in zip(pixels.split(8), noise.split(8), strict=True)])


@dataclass(frozen=True, kw_only=True)
class StyleRecipe:
    """What a style network is made of.

    Attributes:
        style: the file of a picture, or one of the `RENDERED` styles.
        pictures: a folder that `limner train data` has made.
        folder: where everything is kept; the result is its folder ``model``.
        image_text_model: the folder of the image-text model that sees content and style.
        width: channels, and ``blocks`` residual blocks.
    """

    style: str
    pictures: Path
    folder: Path
    image_text_model: Path
    plan: Plan = PLAN
    width: int = 24
    blocks: int = 4

    @property
    def depth(self) -> Depth:
        """The sizes of the network."""
        return Depth(self.width, self.blocks)


def train_style(recipe: StyleRecipe, *, minutes: float | None = None, processes: int | None = None) -> StyleFigures:
    """Continue the training in ``recipe.folder``; returns what the network does for pictures that were kept back.

    Raises:
        TrainingError: the style or the pictures cannot be used, or the training cannot go on.
    """
    pictures = PictureFolder(recipe.pictures)
    if pictures.side < SMALLEST:
        raise TrainingError(
            sentence(
                "The pictures are {side} pixels wide; a style needs at least {smallest}.",
                side=pictures.side,
                smallest=SMALLEST,
            )
        )
    if recipe.style not in RENDERED:
        _read_style(Path(recipe.style), pictures.side)
    if not kept_back(pictures):
        raise TrainingError(
            sentence("A style needs at least ten pictures, as it is tested with a tenth of them; add some.")
        )
    launch(_train, processes, recipe, minutes, batch=recipe.plan.batch)
    return once(_export, recipe)


def _train(recipe: StyleRecipe, minutes: float | None) -> None:
    Trainer(_build(recipe, own_device()), recipe.plan, recipe.folder).run(minutes=minutes)


def _build(recipe: StyleRecipe, device: torch.device) -> RenderedStyleTask | PictureStyleTask:
    torch.manual_seed(recipe.plan.seed)
    network, pictures = StyleNetwork(recipe.depth).to(device), PictureFolder(recipe.pictures)
    if recipe.style in RENDERED:
        return RenderedStyleTask(network, pictures, recipe.style)
    style = _read_style(Path(recipe.style), pictures.side)
    some = pictures.pixels(range(min(COMPARED, len(pictures) - kept_back(pictures))))
    return PictureStyleTask(
        network, pictures, StyleLoss(ContentFeatures(recipe.image_text_model), style, some).to(device)
    )


def _read_style(file: Path, side: int) -> Tensor:
    """The picture (1, 3, height, width) from -1 to 1, its shorter side at most twice that of the others.

    Raises:
        TrainingError: it cannot be read, is too small, or has no style.
    """
    try:
        image = open_image(file.read_bytes(), formats=OWN_FORMATS, most_side=MOST_SIDE, most_ratio=MOST_RATIO)
    except (OSError, BadImage) as error:
        raise TrainingError(
            sentence(
                "{file} is neither a picture that can be read nor one of the styles {names}.",
                file=file,
                names=", ".join(RENDERED),
            )
        ) from error
    if min(image.size) < SMALLEST:
        raise TrainingError(
            sentence(
                "{file} has {width}x{height} pixels, which show no style; choose a picture of at least "
                "{smallest}x{smallest}.",
                file=file,
                width=image.width,
                height=image.height,
                smallest=SMALLEST,
            )
        )
    scale = min(1.0, 2 * side / min(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    pixels = torch.from_numpy(np.array(image.resize(size, Image.Resampling.LANCZOS)))
    style = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
    if style.std((2, 3)).max() < PLAIN:
        raise TrainingError(
            sentence(
                "{file} has one colour only, which is no style; choose a picture with strokes or textures.", file=file
            )
        )
    return style


def _export(recipe: StyleRecipe) -> StyleFigures:
    """Write the model with the averaged weights of the last checkpoint."""
    task, pictures = _build(recipe, torch.device("cpu")), PictureFolder(recipe.pictures)
    network: Any = task.network.eval()
    read_average(recipe.folder, network)
    card: dict[str, Any] = {"title": _title(recipe.style), "width": pictures.side, "height": pictures.side}
    card |= {"multiple_of": STRIDE, "num_inference_steps": 1, "guidance_scale": 1.0, "max_added_words": 0}
    save(recipe.folder / "model", recipe.depth, network, {**card, "restyles": True})
    return task.judge()


def _title(style: str) -> str:
    """The style's name: the picture file's without its ending."""
    return (style if style in RENDERED else Path(style).stem).replace("-", " ").replace("_", " ").strip().capitalize()
