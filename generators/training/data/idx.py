"""Reads MNIST's IDX files, plain or gzipped (http://yann.lecun.com/exdb/mnist)."""

# pyright: basic

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from limner.generators.sentences import sentence
from limner.generators.training.errors import TrainingError

_IMAGES, _LABELS = 0x803, 0x801
"""Magic numbers: unsigned bytes in three dimensions, and in one."""


def find_idx(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of files: train-images-idx3-ubyte with train-labels-idx1-ubyte, and so on."""
    images = sorted(folder.glob("*images*idx3-ubyte*"))
    pairs = [(file, file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1"))) for file in images]
    return [pair for pair in pairs if pair[1].is_file()]


def read_idx(images: Path, labels: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Each picture (height, width; 0 to 255) with its label, one at a time.

    Raises:
        TrainingError: a file is not of this format, or ends too early.
    """
    with _open(images) as pictures, _open(labels) as names:
        count, height, width = _header(pictures, images, _IMAGES, 3)
        if _header(names, labels, _LABELS, 1) != (count,):
            raise TrainingError(
                sentence(
                    "{images} and {labels} do not hold the same number; fetch both again.", images=images, labels=labels
                )
            )
        for _ in range(count):
            pixels, label = pictures.read(height * width), names.read(1)
            if len(pixels) < height * width or not label:
                raise TrainingError(sentence("{images} ends too early; fetch it again.", images=images))
            yield np.frombuffer(pixels, np.uint8).reshape(height, width), label[0]


def _open(file: Path) -> BinaryIO:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _header(file: BinaryIO, path: Path, magic: int, dimensions: int) -> tuple[int, ...]:
    head = file.read(4 + 4 * dimensions)
    if len(head) < 4 + 4 * dimensions or struct.unpack(">I", head[:4])[0] != magic:
        raise TrainingError(
            sentence(
                "{path} is not an IDX file of {kind}.", path=path, kind="pictures" if magic == _IMAGES else "labels"
            )
        )
    return struct.unpack(f">{dimensions}I", head[4:])
