"""Folders of pictures that members liked or preferred, as a LoRA learns them; made anew before each training."""

# pyright: basic

from __future__ import annotations

import hashlib
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data.collect import FolderWriter, cut_square
from limner.generators.training.data.picture_folder import open_picture
from limner.generators.training.families.preferences import ChosenPair

LATENTS = "latents"
"""The folder in a LoRA's training with its pictures' latents."""


class RatedPicture(NamedTuple):
    """The words that a picture was painted from, its likes less its dislikes, which are not equal, and its pixels."""

    text: str
    likes: int
    open: Callable[[], Image.Image]


def square_side(card: ModelCard) -> int:
    """Width and height of the squares that a model learns."""
    return min(card.width, card.height)


def write_rated(pictures: Sequence[RatedPicture], folder: Path, side: int) -> bool:
    """Write the middle squares of pictures to learn; returns whether they are written as pairs.

    Pairs are those of `contrasts`. Where nothing is disliked there are none: then each picture is weighted by the
    exponential of its likes, so the loss is the reward-weighted likelihood (Lee et al. 2023,
    https://arxiv.org/abs/2302.12192).
    """
    pairs = contrasts(pictures)
    with closing(_begun(folder)) as writer:
        for number in (number for pair in pairs for number in pair):
            _add(writer, pictures[number].open(), pictures[number].text, side)
        for one in () if pairs else pictures:
            _add(writer, one.open(), one.text, side, loss_weight=math.exp(one.likes))
    return bool(pairs)


def contrasts(pictures: Sequence[RatedPicture]) -> list[tuple[int, int]]:
    """Pairs of numbers: a picture that is more liked than not before one that is not, each at least as often as it is.

    Pictures of the same words come together first, the others by chance: what is preferred among different words
    teaches too (Yin et al. 2024, https://arxiv.org/abs/2402.10958). None where only one of the two kinds is there.
    """
    liked, disliked = (
        [number for number, one in enumerate(pictures) for _ in range(sign * one.likes)] for sign in (1, -1)
    )
    if not liked or not disliked:
        return []
    pairs: list[tuple[int, int]] = []
    alone: list[int] = []
    others: defaultdict[str, list[int]] = defaultdict(list)
    for number in disliked:
        others[pictures[number].text].append(number)
    for number in liked:
        if same := others[pictures[number].text]:
            pairs.append((number, same.pop()))
        else:
            alone.append(number)
    left = [*chain.from_iterable(others.values())]
    random = Random(0)
    random.shuffle(alone)
    random.shuffle(left)
    pairs += islice(zip(cycle(alone or liked), cycle(left or disliked)), max(len(alone), len(left)))
    return pairs


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
