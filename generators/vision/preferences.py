"""A reward: how much people like a picture, learnt from which of two pictures they preferred."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limner.generators.base import ImageTextModel
from limner.generators.errors import ModelNotFound

FILE = "preferences.safetensors"
STRENGTH = 4.0
"""Of the penalty on large weights; a member's single choice says little."""
STEPS = 30
"""Most steps of Newton's method, which needs fewer than ten."""

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Reward:
    """Weights of the numbers that `described` has of a picture; only differences of rewards mean something.

    The probability that one picture is preferred to another is the logistic function of the difference of their rewards
    (Bradley and Terry 1952).
    """

    weights: Rows

    @classmethod
    def fit(cls, better: Rows, worse: Rows) -> Self:
        """Learn from pairs (count, numbers), by Newton's method; the penalty leaves one answer for any pairs."""
        pairs = better - worse
        weights = np.zeros(pairs.shape[1])
        for _ in range(STEPS):
            right = 1 / (1 + np.exp(-pairs @ weights))
            slope = STRENGTH * weights - pairs.T @ (1 - right)
            bend = STRENGTH * np.eye(len(weights)) + (pairs * (right * (1 - right))[:, None]).T @ pairs
            step = np.linalg.solve(bend, slope)
            weights -= step
            if np.abs(step).max() < 1e-6:
                break
        return cls(weights)

    @classmethod
    def load(cls, folder: Path, name: str = FILE) -> Self:
        """What `save` has written; raises ModelNotFound if it is not there."""
        try:
            return cls(load_file(folder / name)["weights"].astype(np.float64))
        except (OSError, KeyError, SafetensorError) as error:
            raise ModelNotFound from error

    def save(self, folder: Path, name: str = FILE) -> None:
        """Write it into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights.astype(np.float32)}, folder / name)

    def of(self, numbers: Rows) -> Rows:
        """The reward of each row of `described`; raises ModelNotFound if it was learnt with another model."""
        if numbers.shape[1] != len(self.weights):
            raise ModelNotFound
        return numbers @ self.weights


def described(model: ImageTextModel, images: Sequence[Image.Image], words: str) -> Rows:
    """What a reward knows of pictures: their embeddings, and their nearness to the words, as rows."""
    features: NDArray[Any] = model.features(images)
    width = np.sqrt(features.shape[1])  # an embedding has the length 1, so its numbers are small
    return np.column_stack([features * width, model.score(images, [words])[:, 0] * width]).astype(np.float64)
