"""Features for comparing pictures: multi-scale statistics with image-text features, or a classifier's."""

# pyright: basic, reportPrivateImportUsage=false, reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor
from torch.nn import functional

from limner.generators.loading import loading
from limner.generators.sentences import sentence
from limner.generators.training.data.picture_folder import PictureFolder, open_picture
from limner.generators.training.errors import TrainingError
from limner.generators.vision.clip import FolderImageTextModel

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
FEATURES, IMAGE_TEXT = PRETRAINED / "features", PRETRAINED / "image-text"
FILE = "features.safetensors"
SIDE = 128
"""Width and height at which pictures are compared."""
SCALES, QUADRANTS, SECTORS = 4, 2, 8
VISIBLE = 0.06
"""Least visible difference of neighbouring pixels, of the range from 0 to 1."""
LEAST = 0.01
"""Added to a mean difference before its logarithm, so that flat pictures give finite values."""
DIRECTIONS, WEAKEST = 32, 0.01
"""Main directions that are kept of each part at most, and how much variance the last has next to the first."""
FEWEST, MOST = 4 * DIRECTIONS, 5_000
"""Number of pictures that features are fitted to, at least and at most."""
BATCH = 64


class Features(Protocol):
    """Turns pictures into feature rows; their distances measure visible differences."""

    name: str

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """One row for each picture."""
        ...


class OwnFeatures:
    """Principal components of multi-scale statistics, and of the shipped image-text model's features.

    The statistics show blur, noise and wrong colours, the image-text model wrong things. Components and scales are
    fitted to pictures once (`fit`), so figures of different folders are in the same unit.
    """

    name = "Limner"

    def __init__(self, folder: Path) -> None:
        self._model = FolderImageTextModel.load(str(IMAGE_TEXT))
        try:
            with safe_open(folder / FILE, "np") as file:
                if (file.metadata() or {}).get("reader") != _digest():
                    raise TrainingError(
                        sentence(
                            "{folder} was fitted with another image-text model; run limner train features again.",
                            folder=folder,
                        )
                    )
                self._parts = [
                    (file.get_tensor(f"{part}.mean"), file.get_tensor(f"{part}.directions"))
                    for part in ("statistics", "reader")
                ]
        except SafetensorError as error:
            raise TrainingError(
                sentence("{file} cannot be read; run limner train features again.", file=folder / FILE)
            ) from error

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """One row for each picture; in each number, the pictures that they were fitted to have a spread of 1."""
        rows = zip(_measure(self._model, images), self._parts, strict=True)
        return np.concatenate([(row - mean) @ directions for row, (mean, directions) in rows], 1)


class Classifier:
    """Features and classes of an image classifier in a folder of transformers: an Inception, or any other."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        known = {"local_files_only": True}
        weights = known | {"dtype": torch.float32, "use_safetensors": True}
        try:
            with loading():
                self._images = transformers.AutoImageProcessor.from_pretrained(folder, **known)
                self._body = transformers.AutoModel.from_pretrained(folder, **weights).eval()
                self._whole = transformers.AutoModelForImageClassification.from_pretrained(folder, **weights).eval()
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                sentence(
                    "{folder} holds no image classifier of transformers with safetensors weights; name another folder.",
                    folder=folder,
                )
            ) from error
        except ImportError as error:
            raise TrainingError(
                sentence("The classifier in {folder} needs another package: pip install timm", folder=folder)
            ) from error

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """The last layer before the classes: one row for each picture."""
        return self._rows(images, lambda pixels: self._body(pixels).pooler_output.flatten(1))

    def logits(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Log probabilities of the classes (unnormalised), (count, classes)."""
        return self._rows(images, lambda pixels: self._whole(pixels).logits)

    @torch.inference_mode()
    def _rows(self, images: Sequence[Image.Image], look: Callable[[Tensor], Tensor]) -> np.ndarray:
        parts = [images[at : at + 16] for at in range(0, len(images), 16)]
        return torch.cat([look(self._images(part, return_tensors="pt").pixel_values) for part in parts]).numpy()


def load_features(folder: Path) -> OwnFeatures | Classifier:
    """The features in a folder: what `fit` has written, or a classifier of transformers; nothing is downloaded.

    Raises:
        TrainingError: there are none that can be used.
    """
    return OwnFeatures(folder) if (folder / FILE).is_file() else Classifier(folder)


def fit(pictures: PictureFolder, folder: Path) -> None:
    """Write features that are fitted to pictures (5,000 of them at most) into ``folder``.

    Raises:
        TrainingError: there are too few pictures, or one cannot be read.
    """
    if len(pictures) < FEWEST:
        raise TrainingError(
            sentence("There are {count} pictures, but it takes {fewest}; add some.", count=len(pictures), fewest=FEWEST)
        )
    chosen = Random(0).sample(pictures.pictures, min(len(pictures), MOST))
    images = [open_picture(picture.file) for picture in chosen]
    found: dict[str, np.ndarray] = {}
    for part, rows in zip(
        ("statistics", "reader"), _measure(FolderImageTextModel.load(str(IMAGE_TEXT)), images), strict=True
    ):
        mean, spread = rows.mean(0), rows.std(0).clip(1e-3)
        values, vectors = np.linalg.eigh(np.cov(((rows - mean) / spread).T))
        kept = np.arange(len(values)) >= len(values) - DIRECTIONS
        kept &= values > values[-1] * WEAKEST
        scaled = vectors[:, kept] / np.sqrt(values[kept])
        found |= {f"{part}.mean": mean, f"{part}.directions": scaled / spread[:, None]}
    folder.mkdir(parents=True, exist_ok=True)
    saved = {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}
    save_file(saved, folder / FILE, {"reader": _digest()})


def _digest() -> str:
    return hashlib.sha256((IMAGE_TEXT / "model.safetensors").read_bytes()).hexdigest()


def _measure(model: FolderImageTextModel, images: Sequence[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    return statistics(images), model.features(images)


@torch.inference_mode()
def statistics(images: Sequence[Image.Image]) -> np.ndarray:
    """Colours and their places, and how strong and how sparse the differences of neighbours are at four scales."""
    parts: list[Tensor] = []
    for at in range(0, len(images), BATCH):
        fitted = [
            image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS) for image in images[at : at + BATCH]
        ]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in fitted])).permute(0, 3, 1, 2).float() / 255
        red, green, blue = pixels.unbind(1)
        planes = torch.stack([pixels.mean(1), red - green, blue - (red + green) / 2], 1)
        parts.append(torch.cat([*_colours(planes), *_differences(planes)], 1))
    return torch.cat(parts).numpy()


def _colours(planes: Tensor) -> list[Tensor]:
    """Of lightness and two colour planes (count, 3, height, width): means by quadrant, spreads, strength by hue."""
    across, up = planes[:, 1], planes[:, 2]
    angles = [2 * math.pi * sector / SECTORS for sector in range(SECTORS)]
    hues = [(across * math.cos(angle) + up * math.sin(angle)).clamp(min=0) for angle in angles]
    strengths = torch.stack([hue.square().mean((1, 2)).sqrt() for hue in hues], 1)
    return [functional.adaptive_avg_pool2d(planes, QUADRANTS).flatten(1), planes.flatten(2).std(2), strengths]


def _differences(planes: Tensor) -> list[Tensor]:
    """How much neighbours differ across, down and from their surroundings, at each scale."""
    found: list[Tensor] = []
    for scale in range(SCALES):
        smaller = functional.avg_pool2d(planes, 2)
        changes = [
            planes[..., :, 1:] - planes[..., :, :-1],
            planes[..., 1:, :] - planes[..., :-1, :],
            planes - functional.interpolate(smaller, scale_factor=2, mode="bilinear"),
        ]
        if scale:
            changes.append(
                planes - functional.interpolate(smaller, scale_factor=2)
            )  # detects block edges, as of a JPEG
        for change in changes:
            seen = ((change.square() + VISIBLE**2).sqrt() - VISIBLE).flatten(2)  # next to nothing below what is visible
            mean, rough, sharp = seen.mean(2), seen.sqrt().mean(2).square(), seen.square().mean(2).sqrt()
            found += [
                (mean + LEAST).log(),
                ((rough + LEAST) / (mean + LEAST)).log(),
                ((sharp + LEAST) / (mean + LEAST)).log(),
            ]
        planes = smaller
    return found
