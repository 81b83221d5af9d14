"""How good a model is: paints what pictures of a folder are called, and compares the two."""

# pyright: basic, reportPrivateImportUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from limner.generators.base import ModelCard, Reader
from limner.generators.image_files import OWN_FORMATS, BadImage, open_image
from limner.generators.loading import loading
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import measures
from limner.generators.training.evaluation.agreement import Questions
from limner.generators.training.evaluation.painting import Painting, Tell, tell_nobody

COLUMNS, SHOWN = 8, 40
SURE = 20.0
"""How much a difference in nearness counts where the reader says which noun a picture shows."""


@dataclass(frozen=True)
class Evaluation:
    """The figures by name: of what was painted, and of the real pictures where they have any; and a sheet.

    ``features`` tells whose features the distances are measured in: figures of different ones cannot be compared.
    """

    painted: dict[str, float]
    real: dict[str, float]
    features: str
    pictures: int
    sheet: Image.Image


def evaluate(
    painting: Painting,
    folder: PictureFolder,
    reader: Reader,
    *,
    inception: Path | None = None,
    count: int = 200,
    tell: Tell = tell_nobody,
) -> Evaluation:
    """Paint the captions of ``count`` pictures, and as many nouns; the same folder and count give the same figures."""
    questions = Questions.of(folder, count)
    images = painting.paint(questions.prompts, tell)
    own = images[: len(questions.pictures)]
    shown = [_read(picture.file, own[0].size) for picture in questions.pictures]
    judge = Classifier(inception) if inception else _Nouns(reader, questions)
    seen, known = judge.features(own), judge.features(shown)
    precision, recall = measures.precision_and_recall(known, seen)
    painted = questions.judge(reader, images) | {
        "frechet_distance": measures.frechet_distance(known, seen),
        "kernel_distance": measures.kernel_distance(known, seen),
        "precision": precision,
        "recall": recall,
        **_score(judge, own),
        **_reconstructions(painting.card, shown),
        "pictures_per_second": painting.painted / painting.seconds,
    }
    real = questions.judge_real(reader, shown) | _score(judge, shown)
    return Evaluation(painted, real, judge.name, len(images), contact_sheet(own[:SHOWN], questions.captions[:SHOWN]))


def contact_sheet(images: Sequence[Image.Image], prompts: Sequence[str]) -> Image.Image:
    """Each picture over its prompt."""
    return lay_out(images, COLUMNS, prompts)


class Classifier:
    """Features and classes of an image classifier in a folder of transformers: an Inception, or any other."""

    @loading()
    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._images = transformers.AutoImageProcessor.from_pretrained(folder)
        self._body = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
        self._whole = transformers.AutoModelForImageClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True
        ).eval()

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """What stands before the classes: one row for each picture."""
        return self._rows(images, lambda pixels: self._body(pixels).pooler_output.flatten(1))

    def logits(self, images: Sequence[Image.Image]) -> np.ndarray:
        """How likely each class is, as logarithms."""
        return self._rows(images, lambda pixels: self._whole(pixels).logits)

    @torch.inference_mode()
    def _rows(self, images: Sequence[Image.Image], look: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        parts = [images[at : at + 16] for at in range(0, len(images), 16)]
        return torch.cat([look(self._images(part, return_tensors="pt").pixel_values) for part in parts]).numpy()


class _Nouns:
    """The reader in a classifier's place: its classes are the nouns of the folder."""

    name = "the reader"

    def __init__(self, reader: Reader, questions: Questions) -> None:
        self._reader, self._questions = reader, questions

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self._reader.features(images)

    def logits(self, images: Sequence[Image.Image]) -> np.ndarray | None:
        return SURE * self._questions.kinds(self._reader, images) if self._questions.nouns else None


def _score(judge: Classifier | _Nouns, images: Sequence[Image.Image]) -> dict[str, float]:
    logits = judge.logits(images)
    return {} if logits is None else {"inception_score": measures.inception_score(logits)}


def _reconstructions(card: ModelCard, pictures: Sequence[Image.Image]) -> dict[str, float]:
    """What the model's autoencoder gives back of real pictures; nothing if it has none."""
    if not (Path(card.source) / "vae" / "config.json").is_file():
        return {}
    with loading():
        vae = diffusers.AutoModel.from_pretrained(
            card.source, subfolder="vae", dtype=torch.float32, use_safetensors=True
        ).eval()
    again: list[Image.Image] = []
    for at in range(0, len(pictures), 8):
        stack = np.stack([np.asarray(picture) for picture in pictures[at : at + 8]])
        pixels = torch.from_numpy(stack).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        with torch.inference_mode():
            hidden = vae.encode(pixels)
            latents = hidden.latent_dist.mode() if hasattr(hidden, "latent_dist") else hidden.latents
            again += to_images(vae.decode(latents).sample)
    noise, likeness = measures.fidelity(pictures, again)
    return {"psnr": noise, "ssim": likeness}


def _read(file: Path, size: tuple[int, int]) -> Image.Image:
    try:
        return open_image(file.read_bytes(), formats=OWN_FORMATS).resize(size, Image.Resampling.LANCZOS)
    except (OSError, BadImage) as error:
        raise TrainingError(f"{file.name} cannot be read; run `limner train data` on the folder first.") from error
