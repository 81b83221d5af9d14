"""Trains a small segmentation model: which pixels of a drawing words name."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# transformers' and torch's annotations are too loose for more

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer, VisionTextDualEncoderModel, VisionTextDualEncoderProcessor

from limner.generators.loading import loading
from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.captions import Regions
from limner.generators.training.data.picture_folder import PREPARE, CaptionedPicture, PictureFolder, to_images
from limner.generators.training.data.text_encoder import token_ids
from limner.generators.training.doodle.pictograms import with_article
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.clip import kept_back, soften
from limner.generators.training.loop import Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import launch, once, own_device, quick_precision
from limner.generators.vision.segmentation_network import SegmentationNetwork, found

PLAN = Plan(samples=400_000, batch=64, learning_rate=1e-3, warmup=200, ema=0.998, decay=0.4, weight_decay=0.02)
ABSENT, BACKGROUND = 0.25, 0.05
"""Share of pictures that are asked for a thing that they do not show, and for their background."""
TRIES = 20
"""Names that are tried for a thing that a picture does not show."""
NOISE = 0.1
"""Most noise in a picture while learning, as what is painted is less clean than what is drawn."""
NOTHING = 0.005
"""Share of a picture's pixels below which a mask counts as empty."""


class PartQuestion(NamedTuple):
    """Words, and the number of the region that they name: 0 the background, None nothing in the picture."""

    words: str
    region: int | None


class SegmentationTask:
    """Learns masks: cross-entropy of all pixels, and the Dice loss (Milletari 2016) where there is something to find.

    Each picture is asked for one of its things, for its background or for a thing that it does not show.
    """

    family = "segmentation"
    parts: tuple[str, ...] = ("pixels", "overlap")
    progress = 0.0

    def __init__(self, network: SegmentationNetwork, tokenizer: CLIPTokenizer, pictures: PictureFolder) -> None:
        self.network: Any = network.train()
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.eval()  # keeps its statistics, so that the network learns as it is used
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), pictures.fingerprint
        self._tokenizer, self._pictures, self._questions = tokenizer, pictures, PartQuestions(pictures.pictures)

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The loss of one question about each picture."""
        seeds = torch.randint(2**31, (len(numbers),), generator=random).tolist()
        asked = [self._questions.ask(number, Random(seed)) for number, seed in zip(numbers, seeds, strict=True)]
        pixels = self._pictures.pixels(numbers)  # (count, 3, side, side)
        wanted = self._questions.answers(numbers, asked, self._pictures.side)  # (count, side, side)
        flipped = torch.rand(len(numbers), generator=random) < 0.5
        pixels = torch.where(flipped[:, None, None, None], pixels.flip(-1), pixels)
        wanted = torch.where(flipped[:, None, None], wanted.flip(-1), wanted)
        strength = NOISE * torch.rand(len(numbers), 1, 1, 1, generator=random)
        pixels = soften(pixels, random) + strength * torch.randn(pixels.shape, generator=random)
        ids = token_ids(self._tokenizer, [question.words for question in asked])
        at = self.network.out.weight
        logits, wanted = self.network(pixels.to(at), ids.to(at.device)).float(), wanted.to(at.device)
        parts = {"pixels": functional.binary_cross_entropy_with_logits(logits, wanted), "overlap": dice(logits, wanted)}
        return Loss(parts["pixels"] + parts["overlap"] / 2, parts)

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures that were kept back, each beside the part that the words under it name."""
        numbers = range(self.size, self.size + min(12, len(self._pictures) - self.size))
        asked = [self._questions.ask(number, Random(number)) for number in numbers]
        pixels, at = self._pictures.pixels(numbers), self.network.out.weight
        ids = token_ids(self._tokenizer, [question.words for question in asked])
        masks = found(self.network(pixels.to(at), ids.to(at.device)).float().cpu())
        cut = torch.where(masks[:, None], pixels, torch.ones_like(pixels))
        both = torch.stack([pixels, cut], 1).flatten(0, 1)  # (2 count, 3, side, side)
        words = [text for question in asked for text in ("", question.words)]
        return lay_out(to_images(both), 8, words)


class PartQuestions:
    """Words that name parts of pictures, and words that name nothing in them.

    Raises:
        TrainingError: a picture has no regions.
    """

    def __init__(self, pictures: Sequence[CaptionedPicture]) -> None:
        self._regions = [_known(picture) for picture in pictures]
        self._names = sorted({name for regions in self._regions for names in regions.names for name in names})

    def ask(self, number: int, random: Random) -> PartQuestion:
        """A question about one picture."""
        regions, share = self._regions[number], random.random()
        named = [region for region, names in enumerate(regions.names, 1) if names]
        absent = self._absent(regions, random) if share < ABSENT or not named else None
        if absent:
            return PartQuestion(_put(absent, random), None)
        if not named or (ABSENT <= share < ABSENT + BACKGROUND and not regions.others):
            return PartQuestion(random.choice(("the background", "background")), 0)
        region = random.choice(named)
        return PartQuestion(_put(random.choice(regions.names[region - 1]), random), region)

    def answers(self, numbers: Sequence[int], asked: Sequence[PartQuestion], side: int) -> Tensor:
        """1 where the words of a picture's question name the pixel, else 0 (count, side, side).

        Raises:
            TrainingError: a picture's regions cannot be read, or have another size.
        """
        found = [_read(self._regions[number].file, side) for number in numbers]
        wanted = [-1 if question.region is None else question.region for question in asked]
        return torch.from_numpy(np.stack(found) == np.asarray(wanted)[:, None, None]).float()

    def _absent(self, regions: Regions, random: Random) -> str | None:
        """A name of something else, which shares no word with what the picture shows ("bear", "teddy bear").

        None if some names were tried in vain.
        """
        shown = {word for names in (*regions.names, regions.others) for name in names for word in name.split()}
        tried = random.sample(self._names, min(TRIES, len(self._names)))
        return next((name for name in tried if shown.isdisjoint(name.split())), None)


def _known(picture: CaptionedPicture) -> Regions:
    if not picture.regions:
        raise TrainingError(
            sentence(
                "{file} has no regions; segmentation learns from scenes that limner train scenes --regions composes.",
                file=picture.file,
            )
        )
    return picture.regions


def _put(name: str, random: Random) -> str:
    """A name as somebody writes it: "the hat", "a hat", "hat"."""
    return random.choice((f"the {name}", with_article(name, name), name))


def _read(file: Path, side: int) -> np.ndarray:
    try:
        regions = np.asarray(Image.open(file).convert("L"), dtype=np.int16)
    except OSError as error:
        raise TrainingError(sentence("{file} cannot be read; {prepare}", file=file, prepare=PREPARE)) from error
    if regions.shape != (side, side):
        raise TrainingError(
            sentence("{file} has not the size of the other pictures; {prepare}", file=file, prepare=PREPARE)
        )
    return regions


def dice(logits: Tensor, wanted: Tensor) -> Tensor:
    """One minus twice the overlap over the sum of both areas, of the pictures with something to find."""
    likely, wanted = logits.sigmoid().flatten(1), wanted.flatten(1)
    apart = 1 - (2 * (likely * wanted).sum(1) + 1) / (likely.sum(1) + wanted.sum(1) + 1)
    return (apart * wanted.any(1)).sum() / wanted.any(1).sum().clamp(min=1)


@torch.no_grad()
def overlaps(
    network: SegmentationNetwork,
    tokenizer: CLIPTokenizer,
    pictures: PictureFolder,
    numbers: Sequence[int],
) -> dict[str, float]:
    """How well masks are found in pictures, one question about each.

    ``overlap`` is the mean of intersection over union where there is something to find, ``nothing_found`` the share
    of pictures with (nearly) no pixel found where there is nothing; a figure of no question is left out.
    """
    questions = PartQuestions(pictures.pictures)
    asked = [questions.ask(number, Random(number)) for number in numbers]
    scores: list[float] = []
    for at in range(0, len(numbers), 64):
        part, about = numbers[at : at + 64], asked[at : at + 64]
        ids = token_ids(tokenizer, [question.words for question in about])
        masks = found(network(pictures.pixels(part), ids))
        scores += judge(masks, questions.answers(part, about, pictures.side).bool(), about)
    figures = {
        "overlap": [score for score, question in zip(scores, asked, strict=True) if question.region is not None],
        "nothing_found": [score for score, question in zip(scores, asked, strict=True) if question.region is None],
    }
    return {name: float(np.mean(values)) for name, values in figures.items() if values}


def judge(masks: Tensor, wanted: Tensor, asked: Sequence[PartQuestion]) -> list[float]:
    """Intersection over union of found and wanted masks (count, side, side) for each question.

    Where the words name nothing it is 1 if (nearly) no pixel is found, else 0.
    """
    both, either = (masks & wanted).sum((1, 2)), (masks | wanted).sum((1, 2)).clamp(min=1)
    empty = (masks.float().mean((1, 2)) < NOTHING).float()
    is_absent = torch.tensor([question.region is None for question in asked])
    return torch.where(is_absent, empty, both / either).tolist()


def train_segmentation(
    data: Path, folder: Path, start: Path, plan: Plan, *, minutes: float | None, processes: int | None
) -> dict[str, float]:
    """Continue the training in ``folder``; the current result is in ``folder/segmentation``.

    ``start`` is the folder of the image-text model whose towers it begins with. Returns `overlaps` of the pictures that
    were kept back.

    Raises:
        TrainingError: there are too few pictures or no regions, or the training cannot go on.
    """
    pictures = PictureFolder(data)
    if not kept_back(pictures):
        raise TrainingError(
            sentence(
                "A segmentation model needs at least ten pictures, as it is tested with a tenth of them; add some."
            )
        )
    launch(_train, processes, data, folder, start, plan, minutes, batch=plan.batch)
    return once(_export, data, folder, start)


def _train(data: Path, folder: Path, start: Path, plan: Plan, minutes: float | None) -> None:
    network, tokenizer = _untrained(start)
    device = own_device()
    network.to(device, quick_precision(device)).to(memory_format=torch.channels_last)
    Trainer(SegmentationTask(network, tokenizer, PictureFolder(data)), plan, folder).run(minutes=minutes)


def _export(data: Path, folder: Path, start: Path) -> dict[str, float]:
    network, tokenizer = _untrained(start)
    read_average(folder, network)
    pictures = PictureFolder(data)
    network.save(folder / "segmentation", tokenizer)
    return overlaps(network, tokenizer, pictures, range(len(pictures) - kept_back(pictures), len(pictures)))


@loading()
def _untrained(start: Path) -> tuple[SegmentationNetwork, CLIPTokenizer]:
    """The network with the towers of the image-text model in ``start``, whose word vectors stay as they are."""
    try:
        model = VisionTextDualEncoderModel.from_pretrained(
            start, dtype=torch.float32, use_safetensors=True, attn_implementation="eager"
        )
        tokenizer = VisionTextDualEncoderProcessor.from_pretrained(start).tokenizer
    except (OSError, ValueError) as error:
        raise TrainingError(
            sentence("{folder} holds no image-text model of limner train image-text.", folder=start)
        ) from error
    torch.manual_seed(PLAN.seed)
    network = SegmentationNetwork(model.vision_model, model.text_model, model.text_projection).eval()
    network.text.get_input_embeddings().weight.requires_grad_(False)
    return network, tokenizer
