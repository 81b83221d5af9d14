"""What numbers say of painted pictures: the formulas of torchmetrics over features that somebody else has found."""

# pyright: basic

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

NEIGHBOURS = 3
"""How many neighbours make a picture's surroundings, as in the paper."""


class _AsTheyAre(nn.Module):
    """Features that are found already, where torchmetrics expects the network that finds them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


@contextmanager
def _without_advice() -> Generator[None]:
    """torchmetrics warns of features kept in memory, and torch of the spread of one split; neither matters here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric .* will save all extracted features in buffer")
        warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom")
        yield


def frechet_distance(real: np.ndarray, painted: np.ndarray) -> float:
    """FID (Heusel 2017): how far apart two sets of pictures are, as two normal distributions; 0 for the same."""
    metric = FrechetInceptionDistance(feature=_AsTheyAre(real.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(painted), real=False)
    return float(metric.compute())


def kernel_distance(real: np.ndarray, painted: np.ndarray) -> float:
    """KID (Binkowski 2018): the same by a polynomial kernel; without bias, so it may fall a little under 0."""
    size = min(len(real), len(painted), 100)
    with _without_advice():
        metric = KernelInceptionDistance(feature=_AsTheyAre(real.shape[1]), subsets=50, subset_size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(painted), real=False)
        return float(metric.compute()[0])


def inception_score(logits: np.ndarray) -> float:
    """The inception score (Salimans 2016): pictures that are each of one kind, and together of many; 1 at the least."""
    with _without_advice():
        metric = InceptionScore(feature=_AsTheyAre(logits.shape[1]), splits=1)
        metric.update(torch.from_numpy(logits))
        return float(metric.compute()[0])


def precision_and_recall(real: np.ndarray, painted: np.ndarray) -> tuple[float, float]:
    """Shares of painted pictures among real ones, and of real ones among painted (Kynkaanniemi 2019, equation 1).

    A picture is among others if it is nearer to one of them than that one's third neighbour is. torchmetrics has no
    such formula.
    """
    return _within(painted, real), _within(real, painted)


def _within(pictures: np.ndarray, others: np.ndarray) -> float:
    one, many = torch.from_numpy(pictures).double(), torch.from_numpy(others).double()
    own = torch.cdist(many, many)
    reach = own.kthvalue(min(NEIGHBOURS + 1, len(many)), dim=1).values  # the nearest one is itself
    return float((torch.cdist(one, many) <= reach).any(1).double().mean())


def fidelity(pictures: Sequence[Image.Image], again: Sequence[Image.Image]) -> tuple[float, float]:
    """PSNR in decibels and SSIM (Wang 2004) of pictures that came back of an autoencoder."""
    wanted, found = _levels(pictures), _levels(again)
    noise = peak_signal_noise_ratio(found, wanted, data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean")
    likeness = structural_similarity_index_measure(found, wanted, data_range=1.0)
    assert isinstance(likeness, Tensor)  # noqa: S101 - a pair only where it is asked for
    return float(noise), float(likeness)


def _levels(pictures: Sequence[Image.Image]) -> Tensor:
    stack = np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 255


def places(scores: np.ndarray, right: Sequence[Sequence[int]]) -> list[int]:
    """For each row the place, from 0, of the best among the columns that are right."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return [int(min(ranks[row][column] for column in columns)) for row, columns in enumerate(right)]


def first(found: Sequence[int], among: int = 1) -> float:
    """The share of places that are among the first."""
    return sum(place < among for place in found) / len(found)
