"""Folders of pictures that members liked or preferred, as a LoRA learns them; made anew before each training."""

# pyright: basic

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data.collect import FolderWriter, cut_square
from limner.generators.training.data.picture_folder import open_picture
from limner.generators.training.families.preferences import ChosenPair

LATENTS = "latents"
"""The folder in a LoRA's training with its pictures' latents."""


class LikedPicture(NamedTuple):
    """A picture, the words that it was painted from, and its likes less its dislikes."""

    image: Image.Image
    text: str
    likes: int


def square_side(card: ModelCard) -> int:
    """Width and height of the squares that a model learns."""
    return min(card.width, card.height)


def write_liked(pictures: Iterable[LikedPicture], folder: Path, side: int) -> None:
    """Write the middle squares of pictures, each weighted by the exponential of its likes.

    So the loss is the reward-weighted likelihood (Lee et al. 2023, https://arxiv.org/abs/2302.12192).
    """
    with closing(_begun(folder)) as writer:
        for one in pictures:
            _add(writer, one.image, one.text, side, loss_weight=math.exp(one.likes))


def write_pairs(pairs: Sequence[ChosenPair], folder: Path, side: int) -> None:
    """Write the middle squares of pairs, the better picture of each before the worse one."""
    with closing(_begun(folder)) as writer:
        for pair in pairs:
            for file in (pair.better, pair.worse):
                _add(writer, open_picture(file), pair.words, side)


def forget_pictures(folder: Path, name: str) -> None:
    """Delete a training's copies of members' pictures, and what its model saw in them."""
    for one in (name, LATENTS):
        shutil.rmtree(folder / one, ignore_errors=True)


def _begun(folder: Path) -> FolderWriter:
    shutil.rmtree(folder, ignore_errors=True)
    return FolderWriter(folder)


def _add(writer: FolderWriter, image: Image.Image, text: str, side: int, **more: float) -> None:
    image = cut_square(image.convert("RGB"), side)
    # A name of its own for each content: latents that are kept are found by names and sizes of files.
    writer.add(image, text, mark=f"-{hashlib.sha256(image.tobytes()).hexdigest()[:12]}", **more)
