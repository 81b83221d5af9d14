"""A small contrastive image-text model (CLIP's objective), which tells how near a picture is to words."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# transformers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModel,
    CLIPTokenizer,
    LevitConfig,
    LevitModel,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from limner.generators.loading import loading
from limner.generators.training.curves import lay_out
from limner.generators.training.data.augment import mirror
from limner.generators.training.data.picture_folder import CaptionedPicture, PictureFolder, to_images
from limner.generators.training.data.text_encoder import token_ids
from limner.generators.training.doodle.pictograms import with_article
from limner.generators.training.loop import Trainer, read_average
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import gather, own_device, quick_precision

PLAN = Plan(samples=400_000, batch=128, learning_rate=1e-3, warmup=100, ema=0.995, decay=0.5, weight_decay=0.05)
WIDTH = 192
"""Numbers in what a picture and a caption are compared by."""
NOUNS = 512
"""Names that each picture is compared with, besides those of what its batch shows."""
SHIFT = 8
"""Pixels that a picture is moved by at most while learning."""
SOFTEST = 2.0
"""Pixels, the standard deviation of the widest blur while learning: what is painted is softer than what is drawn."""
AMONG = 100
"""Captions that a picture's own stands among when the model is tried, or all if there are fewer."""
KEPT_BACK = 1000
"""Pictures at the end of the folder, but never more than a tenth of it, that nothing is learnt from."""
STEEPEST = 100.0
"""How much a difference in nearness may count at most, as in CLIP."""


def build_image_text_model(
    encoder: CLIPTextModel,
    side: int,
    *,
    widths: Sequence[int] = (128, 160, 192),
    depths: Sequence[int] = (2, 2, 2),
    layers: int = 1,
) -> VisionTextDualEncoderModel:
    """An untrained model of pictures of one size, over the words' vectors of ``encoder``.

    The picture's tower is a LeViT (Graham 2021): its convolutions learn from few pictures, and it is quick on a CPU.
    """
    vision = LevitConfig(
        image_size=side,
        hidden_sizes=list(widths),
        depths=list(depths),
        num_attention_heads=[width // 32 for width in widths],
        key_dim=[16] * len(widths),
        hidden_size=widths[-1],
    )
    encoder = copy.deepcopy(encoder)
    encoder.encoder.layers = encoder.encoder.layers[:layers]
    encoder.config.num_hidden_layers = layers
    encoder.config._name_or_path = ""  # a folder of this machine is no part of the model
    model = VisionTextDualEncoderModel(vision_model=LevitModel(vision), text_model=encoder)
    model.text_model.get_input_embeddings().weight.requires_grad_(False)
    return model


class ImageTextTask:
    """Learns which caption belongs to which picture of a batch (Radford 2021), and which nouns a picture shows.

    A batch shows a part of the nouns only, and says most of them among other words; so each picture is also compared
    with the bare names of (nearly) all nouns.
    """

    family = "reader"  # its name in checkpoints, also older ones
    parts: tuple[str, ...] = ("captions", "nouns")
    progress = 0.0

    def __init__(self, model: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer, pictures: PictureFolder) -> None:
        self.network: Any = model
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), pictures.fingerprint
        self._pictures = pictures
        texts = [picture.text for picture in pictures.pictures]
        self._nouns = sorted({noun for picture in pictures.pictures for noun in picture.nouns})
        self._row_of = {noun: row for row, noun in enumerate(self._nouns)}
        self._tokenizer = tokenizer
        self._captions = token_ids(tokenizer, texts).short()
        self._mirrored = token_ids(tokenizer, [mirror(text) for text in texts]).short()
        self._names = token_ids(tokenizer, [with_article(noun, noun) for noun in self._nouns] or [""])

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """Cross-entropy of captions and pictures in both directions, and of the nouns that each picture shows."""
        shown = [self._pictures.pictures[number] for number in numbers]
        pixels = self._pictures.pixels(numbers).to(self.network.device)
        flipped = torch.rand(len(pixels), generator=random) < 0.5
        captions = torch.where(flipped[:, None], self._mirrored[numbers], self._captions[numbers]).long()
        pixels = torch.where(flipped[:, None, None, None].to(pixels.device), pixels.flip(-1), pixels)
        images = self._see(soften(_shifted(pixels, random), random))
        parts = {"captions": contrast(images, self._read(captions), captions)}
        parts["nouns"] = self._of_nouns(images, shown, random)
        return Loss(parts["captions"] + parts["nouns"], parts)

    def _of_nouns(self, images: Tensor, shown: Sequence[CaptionedPicture], random: torch.Generator) -> Tensor:
        rows = [number for number, picture in enumerate(shown) if picture.nouns]
        if not rows:
            return images.new_zeros(())
        seen = [[self._row_of[noun] for noun in shown[row].nouns] for row in rows]
        others = torch.randperm(len(self._nouns), generator=random)[:NOUNS].tolist()
        nouns = sorted({*others, *(noun for row in seen for noun in row)})
        place = {noun: number for number, noun in enumerate(nouns)}
        right = torch.zeros(len(rows), len(nouns))
        for row, those in zip(right, seen, strict=True):
            row[[place[noun] for noun in those]] = 1
        right = right.to(images)
        nearness = images[rows] @ self._read(self._names[nouns]).T
        return -(nearness.log_softmax(1) * right / right.sum(1, keepdim=True)).sum(1).mean()

    def _see(self, pixels: Tensor) -> Tensor:
        """What pictures are compared by, as long as the loss counts a difference."""
        pixels = pixels.to(self.network.device, self.network.dtype, memory_format=torch.channels_last)
        images = functional.normalize(self.network.get_image_features(pixels).pooler_output.float())
        return images * self.network.logit_scale.float().exp().clamp(max=STEEPEST)

    def _read(self, ids: Tensor) -> Tensor:
        """What texts are compared by; they never look ahead, so what only fills the end is cut off."""
        longest = int((ids != self._tokenizer.eos_token_id).sum(1).max()) + 1
        return functional.normalize(
            self.network.get_text_features(ids[:, :longest].to(self.network.device)).pooler_output.float()
        )

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures that were kept back, over the nearest of their captions."""
        model = settled(self.network, self._pictures, device=self.network.device)
        numbers = range(self.size, self.size + min(24, len(self._pictures) - self.size))
        texts = [self._pictures.pictures[number].text for number in numbers]
        pixels = self._pictures.pixels(numbers)
        nearest = compare(model, self._tokenizer, pixels, texts).argmax(1)
        return lay_out(to_images(pixels), 8, [texts[number] for number in nearest])


def contrast(images: Tensor, texts: Tensor, captions: Tensor) -> Tensor:
    """Cross-entropy of captions and pictures in both directions, among those of all processes.

    Every pair that says the same counts as right, not only a picture's own caption.

    Args:
        images: (count, width), what this process's pictures are compared by.
        texts: (count, width), the same of their captions.
        captions: (count, length), the captions' tokens.
    """
    own = len(images)
    images, texts, captions = gather(images), gather(texts), gather(captions)  # (all, ...)
    right = (captions[:, None] == captions).all(-1).to(images)  # (all, all)
    nearness = images @ texts.T  # (all, all): a row for each picture
    by_picture = (nearness.log_softmax(1) * right / right.sum(1, keepdim=True)).sum(1)
    by_text = (nearness.log_softmax(0) * right / right.sum(0, keepdim=True)).sum(0)
    loss = -(by_picture.mean() + by_text.mean()) / 2
    # Each process has the gradient of its own rows only, and the trainer takes the mean: so their sum has to be whole.
    return loss.detach() + (loss - loss.detach()) * len(images) / own


def kept_back(pictures: PictureFolder) -> int:
    """How many pictures at the end of the folder are for testing."""
    return min(KEPT_BACK, len(pictures) // 10)


def _shifted(pixels: Tensor, random: torch.Generator) -> Tensor:
    side = pixels.shape[-1]
    wide = functional.pad(pixels, (SHIFT,) * 4, mode="replicate")
    corners = torch.randint(2 * SHIFT + 1, (len(pixels), 2), generator=random).tolist()
    return torch.stack([one[:, y : y + side, x : x + side] for one, (y, x) in zip(wide, corners, strict=True)])


def soften(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Pixels (count, channels, height, width): half of them as they are, each of the others with a blur of its own."""
    count = len(pixels)
    softness = SOFTEST * torch.rand(count, generator=random) * (torch.rand(count, generator=random) < 0.5)
    return blurred(pixels, softness, SOFTEST)


def blurred(pixels: Tensor, softness: Tensor, most: float) -> Tensor:
    """Pixels (count, channels, height, width), each with a blur of its own: Gaussian, of at most ``most`` pixels."""
    count, channels = pixels.shape[:2]
    reach = round(3 * most)
    apart = torch.arange(-reach, reach + 1) / softness.clamp(min=1e-3)[:, None]
    weights = (-apart.square() / 2).softmax(1).repeat_interleave(channels, 0).to(pixels)
    rows = functional.pad(pixels.flatten(0, 1)[None], (reach,) * 4, mode="replicate")
    rows = functional.conv2d(rows, weights[:, None, :, None], groups=count * channels)
    return functional.conv2d(rows, weights[:, None, None, :], groups=count * channels).view_as(pixels)


@torch.no_grad()
def compare(model: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer, pixels: Tensor, texts: list[str]) -> Tensor:
    """The cosine of the angle between each picture (a row) and each text."""
    images = [model.get_image_features(part.to(model.device)).pooler_output for part in pixels.split(64)]
    words = model.get_text_features(token_ids(tokenizer, texts).to(model.device)).pooler_output
    return (functional.normalize(torch.cat(images)) @ functional.normalize(words).T).cpu()


@torch.no_grad()
def settled(
    model: VisionTextDualEncoderModel,
    pictures: PictureFolder,
    batches: int = 16,
    *,
    device: torch.device = torch.device("cpu"),  # noqa: B008 - it never changes
) -> VisionTextDualEncoderModel:
    """A copy to read with: float32, its batch normalisations set by pictures.

    While learning they look at each batch alone, so nothing of them has to be kept in a checkpoint.
    """
    model = copy.deepcopy(model).to(device, torch.float32).train()
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    chosen = torch.randperm(len(pictures) - kept_back(pictures), generator=torch.Generator().manual_seed(0)).tolist()
    for part in range(batches):
        if numbers := chosen[part * 32 : part * 32 + 32]:
            model.get_image_features(pictures.pixels(numbers).to(device))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return model.eval()


@torch.no_grad()
def retrieval(model: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer, pictures: PictureFolder) -> dict[str, float]:
    """How often the right words come first for pictures that were kept back: among captions, among all nouns."""
    numbers = range(len(pictures) - kept_back(pictures), len(pictures))
    shown = [pictures.pictures[number] for number in numbers]
    pixels = pictures.pixels(numbers)
    among = min(AMONG, len(shown))
    rights: list[bool] = []
    for at in range(0, len(shown) - among + 1, among):
        texts = [picture.text for picture in shown[at : at + among]]
        nearest = compare(model, tokenizer, pixels[at : at + among], texts).argmax(1).tolist()
        rights += [texts[found] == text for found, text in zip(nearest, texts, strict=True)]
    figures = {f"caption_first_of_{among}": sum(rights) / len(rights)}
    nouns = sorted({noun for picture in pictures.pictures for noun in picture.nouns})
    single = [number for number, picture in enumerate(shown) if len(picture.nouns) == 1]
    if single:
        names = [with_article(noun, noun) for noun in nouns]
        order = compare(model, tokenizer, pixels[single], names).argsort(1, descending=True)[:, :5].tolist()
        found = [[nouns[one] for one in row].index(noun) if noun in {nouns[one] for one in row} else 5
                 for row, noun in zip(order, (shown[number].nouns[0] for number in single), strict=True)]  # fmt: skip
        figures["noun_first"] = sum(place == 0 for place in found) / len(found)
        figures["noun_in_first_five"] = sum(place < 5 for place in found) / len(found)
    return figures


def save_image_text_model(model: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer, side: int, folder: Path) -> None:
    """Write a folder that transformers' own class loads, in float16."""
    processor = VisionTextDualEncoderProcessor(image_processor(side), tokenizer)
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)


def image_processor(side: int) -> CLIPImageProcessorPil:
    """Fits any picture to what the small models read: a square of -1 to 1."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def train_image_text_model(data: Path, folder: Path, words: Path, plan: Plan, minutes: float | None) -> None:
    """Train in ``folder`` on the captioned pictures in ``data``, with the tokenizer and the vectors in ``words``."""
    pictures = PictureFolder(data)
    model, tokenizer = _untrained(pictures, words, plan)
    device = own_device()
    model.to(device, quick_precision(device)).to(memory_format=torch.channels_last)
    Trainer(ImageTextTask(model, tokenizer, pictures), plan, folder).run(minutes=minutes)


def export_image_text_model(data: Path, folder: Path, words: Path, plan: Plan) -> tuple[dict[str, float], bool]:
    """Write the model with the averaged weights of the last checkpoint into ``folder/image-text``.

    Returns its `retrieval`, and whether the plan is done.
    """
    pictures = PictureFolder(data)
    model, tokenizer = _untrained(pictures, words, plan)
    steps = read_average(folder, model)
    model = settled(model, pictures)
    figures = retrieval(model, tokenizer, pictures)
    save_image_text_model(model, tokenizer, pictures.side, folder / "image-text")
    return figures, steps >= plan.steps


@loading()
def _untrained(pictures: PictureFolder, words: Path, plan: Plan) -> tuple[VisionTextDualEncoderModel, CLIPTokenizer]:
    torch.manual_seed(plan.seed)
    encoder = CLIPTextModel.from_pretrained(
        words, dtype=torch.float32, use_safetensors=True, attn_implementation="eager"
    )
    model = build_image_text_model(encoder, pictures.side)
    return model, CLIPTokenizer.from_pretrained(words)
