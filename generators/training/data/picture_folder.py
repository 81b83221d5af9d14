"""Captioned pictures in a folder, in the Hugging Face convention; read one by one."""

# pyright: basic

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.generators.image_files import OWN_FORMATS, BadImage, open_image
from limner.generators.sentences import sentence
from limner.generators.training.data.captions import CaptionEntry, Regions, read_metadata
from limner.generators.training.errors import TrainingError

PREPARE = sentence("make a folder that is fit with limner train data.")


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture's file, its caption and weight, and its nouns and their regions if known."""

    file: Path
    text: str
    nouns: tuple[str, ...] = ()
    regions: Regions | None = None
    weight: float = 1.0


class PictureFolder:
    """The pictures of a folder: metadata.jsonl with ``file_name`` and ``text``, here or in each folder below."""

    def __init__(self, folder: Path) -> None:
        self.pictures: list[CaptionedPicture] = []
        for metadata in sorted(folder.rglob("metadata.jsonl")):
            if metadata.parent.suffix == ".part":
                continue
            self.pictures += map(_captioned, read_metadata(metadata))
        if not self.pictures:
            raise TrainingError(
                sentence(
                    "{folder} has no captioned pictures; it needs a metadata.jsonl with file_name and text.",
                    folder=folder,
                )
            )

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies pictures and captions; independent of the folder's place."""
        key = hashlib.sha256()
        for picture in self.pictures:
            weight = "" if picture.weight == 1 else f" {picture.weight}"
            key.update(f"{picture.file.name} {picture.file.stat().st_size} {picture.text}{weight}\n".encode())
        return key.hexdigest()[:16]

    @cached_property
    def side(self) -> int:
        """Width and height of the pictures.

        Raises:
            TrainingError: the first of them is not a square whose sides are multiples of 8.
        """
        file = self.pictures[0].file
        image = open_picture(file)
        if image.width != image.height or image.width % 8:
            raise TrainingError(
                sentence("{file} is not a square of 8, 16, 24 ... pixels; {prepare}", file=file, prepare=PREPARE)
            )
        return image.width

    def pixels(self, numbers: Sequence[int]) -> Tensor:
        """The pictures as numbers from -1 to 1 (count, 3, height, width).

        Raises:
            TrainingError: one cannot be read, or has another size.
        """
        stack = np.stack([self._read(self.pictures[number].file) for number in numbers])
        return torch.from_numpy(stack).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def _read(self, file: Path) -> np.ndarray:
        image = open_picture(file)
        if image.size != (self.side, self.side):
            raise TrainingError(
                sentence("{file} has not the size of the other pictures; {prepare}", file=file, prepare=PREPARE)
            )
        return np.asarray(image)


class HalvedPictures(PictureFolder):
    """The pictures of a folder, each with half its sides: the means of 2x2 pixels."""

    def pixels(self, numbers: Sequence[int]) -> Tensor:
        """As `PictureFolder.pixels`."""
        return torch.nn.functional.avg_pool2d(super().pixels(numbers), 2)


def open_picture(file: Path) -> Image.Image:
    """One picture in RGB.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        return open_image(file.read_bytes(), formats=OWN_FORMATS)
    except (OSError, BadImage) as error:
        raise TrainingError(sentence("{file} cannot be read; {prepare}", file=file, prepare=PREPARE)) from error


def _captioned(entry: CaptionEntry) -> CaptionedPicture:
    if entry.file is None:
        raise TrainingError(
            sentence(
                "{place} names {name!r}, and there is no such file; {prepare}",
                place=entry.place,
                name=entry.name,
                prepare=PREPARE,
            )
        )
    return CaptionedPicture(
        entry.file, entry.captions[0] if entry.captions else "", entry.nouns, entry.regions, entry.weight
    )


def learnt_part(folder: Path) -> Path:
    """The training pictures of a folder: those in ``train``, if it is split."""
    return folder / "train" if (folder / "train").is_dir() else folder


def tested_part(folder: Path) -> Path:
    """The test pictures of a folder: those in ``test``, if it is split."""
    return folder / "test" if (folder / "test").is_dir() else folder


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Pictures of numbers from -1 to 1 (count, 3, height, width); the inverse of `PictureFolder.pixels`."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(level) for level in levels]
