"""Evaluates a model: paints the captions of a folder's pictures, and compares both."""

# pyright: basic, reportPrivateImportUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image

from limner.generators.base import ImageTextModel
from limner.generators.cards.model_card import ModelCard
from limner.generators.loading import loading
from limner.generators.sentences import sentence
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, open_picture, to_images
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import measures
from limner.generators.training.evaluation.agreement import Questions
from limner.generators.training.evaluation.features import FEATURES, Classifier, Features, load_features
from limner.generators.training.evaluation.measures import Figure
from limner.generators.training.evaluation.painting import Painting, Tell, tell_nobody

COLUMNS, SHOWN = 8, 40
FEWEST = 8
"""Fewest pictures of a folder: half of them are painted, half are references."""
SURE = 20.0
"""Factor of similarities in the softmax over nouns."""


@dataclass(frozen=True)
class Evaluation:
    """Figures by name, of painted pictures and of real ones where possible; and a contact sheet.

    ``features`` names the features of the distances: figures of different ones cannot be compared. ``references`` is
    the number of real pictures that painted and other real ones are compared with.
    """

    painted: dict[str, Figure]
    real: dict[str, Figure]
    features: str
    pictures: int
    references: int
    sheet: Image.Image


def evaluate(
    painting: Painting,
    folder: PictureFolder,
    image_text_model: ImageTextModel,
    *,
    features: Path = FEATURES,
    count: int = 200,
    tell: Tell = tell_nobody,
) -> Evaluation:
    """Paint the captions of ``count`` pictures, and as many nouns; the same folder and count give the same figures.

    Raises:
        TrainingError: the folder has too few pictures, the model does not paint, or there are no such features.
    """
    if len(folder) < FEWEST:
        raise TrainingError(
            sentence(
                "There are {count} pictures to compare with, but it takes {fewest}; add some.",
                count=len(folder),
                fewest=FEWEST,
            )
        )
    judge = load_features(features)
    questions = Questions.of(folder, count)
    images = painting.paint(questions.prompts, tell)
    own = images[: len(questions.pictures)]
    shown, others = (
        [open_picture(picture.file).resize(own[0].size, Image.Resampling.LANCZOS) for picture in pictures]
        for pictures in (questions.pictures, questions.references)
    )
    known = judge.features(others)
    painted = questions.judge(image_text_model, images) | _distances(known, judge.features(own))
    real = questions.judge_real(image_text_model, shown) | _distances(known, judge.features(shown))
    for figures, pictures in ((painted, own), (real, shown)):
        if (logits := _logits(judge, image_text_model, questions, pictures)) is not None:
            figures["inception_score"] = measures.inception_score(logits)
    painted |= _reconstructions(painting.card, shown)
    pace = painting.painted / painting.seconds
    painted["pictures_per_second"] = Figure(pace, pace, pace, painting.painted)
    sheet = contact_sheet(own[:SHOWN], questions.captions[:SHOWN])
    return Evaluation(painted, real, judge.name, len(images), len(others), sheet)


def _distances(known: np.ndarray, seen: np.ndarray) -> dict[str, Figure]:
    precision, recall = measures.precision_and_recall(known, seen)
    return {
        "frechet_distance": measures.frechet_distance(known, seen),
        "kernel_distance": measures.kernel_distance(known, seen),
        "precision": precision,
        "recall": recall,
    }


def _logits(
    judge: Features, image_text_model: ImageTextModel, questions: Questions, images: Sequence[Image.Image]
) -> np.ndarray | None:
    """Each picture's (row) log probability of each class: the classifier's, or the nouns' by the image-text model."""
    if isinstance(judge, Classifier):
        return judge.logits(images)
    return SURE * questions.kinds(image_text_model, images) if questions.nouns else None


def contact_sheet(images: Sequence[Image.Image], prompts: Sequence[str]) -> Image.Image:
    """Each picture above its prompt."""
    return lay_out(images, COLUMNS, prompts)


def _reconstructions(card: ModelCard, pictures: Sequence[Image.Image]) -> dict[str, Figure]:
    """Real pictures reconstructed by the model's autoencoder; empty if it has none."""
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
