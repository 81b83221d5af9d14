"""Measures of painted pictures, each with a 95 % interval: feature distances, and hit rates."""

# pyright: basic

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.inception import InceptionScore

NEIGHBOURS = 3
"""Neighbours that define a picture's surroundings, as in the paper."""
HALVES = 50
"""Half samples for an interval."""
CLEAREST = 100.0
"""Decibels of an unchanged picture."""
Z = 1.96
"""Standard deviations to either side of a normal distribution's mean that hold 95 % of it."""


class Figure(NamedTuple):
    """A value with its 95 % interval, and the number of painted (or real) pictures."""

    value: float
    low: float
    high: float
    samples: int


def estimate(statistic: Callable[..., float], *counts: int) -> Figure:
    """A statistic of samples, given as one array of indices for each of them, with its interval.

    The interval is a bootstrap by half samples: drawn without replacement, they differ from each other as much as whole
    samples would (Politis and Romano 1994). Pictures drawn twice would make a covariance narrower and a kernel mean
    larger than they are. ``samples`` is the last count.
    """
    random = np.random.default_rng(0)
    value = statistic(*(np.arange(count) for count in counts))
    halves = [statistic(*(random.permutation(count)[: max(2, count // 2)] for count in counts)) for _ in range(HALVES)]
    reach = Z * float(np.std(halves))
    return Figure(value, value - reach, value + reach, counts[-1])


def share(hits: Sequence[bool]) -> Figure:
    """The hit rate, with Wilson's interval (1927), which has a width even for no or all hits."""
    count = len(hits)
    value = sum(hits) / count
    middle = (value + Z**2 / 2 / count) / (1 + Z**2 / count)
    reach = Z / (1 + Z**2 / count) * (value * (1 - value) / count + (Z / 2 / count) ** 2) ** 0.5
    return Figure(value, min(value, max(0.0, middle - reach)), max(value, min(1.0, middle + reach)), count)


def frechet_distance(real: np.ndarray, painted: np.ndarray) -> Figure:
    """FID (Heusel 2017): the distance of two sets of feature rows (count, width), as normal distributions.

    Equal distributions give a little more than 0: the more, the fewer pictures there are.
    """
    return estimate(lambda one, other: _frechet(real[one], painted[other]), len(real), len(painted))


def _frechet(real: np.ndarray, painted: np.ndarray) -> float:
    means = [features.mean(0, dtype=np.float64) for features in (real, painted)]
    pairs = zip((real, painted), means, strict=True)
    spreads = [(features - mean) / (len(features) - 1) ** 0.5 for features, mean in pairs]
    # The trace of the root of the covariances' product is the nuclear norm of the product of their roots.
    first, second = (np.asarray(np.linalg.qr(spread, mode="r")) for spread in spreads)
    overlap = np.linalg.norm(first @ second.T, "nuc")
    apart = np.square(means[0] - means[1]).sum()
    return float(apart + sum(np.square(spread).sum() for spread in spreads) - 2 * overlap)


def kernel_distance(real: np.ndarray, painted: np.ndarray) -> Figure:
    """KID (Binkowski 2018): the same by a cubic kernel over all pairs; unbiased, so it may be a little below 0."""
    among_real, among_painted, between = _cubic(real, real), _cubic(painted, painted), _cubic(real, painted)

    def statistic(one: np.ndarray, other: np.ndarray) -> float:
        near = _mean_of_pairs(among_real[np.ix_(one, one)]) + _mean_of_pairs(among_painted[np.ix_(other, other)])
        return near - 2 * float(between[np.ix_(one, other)].mean())

    return estimate(statistic, len(real), len(painted))


def _cubic(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one.astype(np.float64) @ other.T.astype(np.float64) / one.shape[1] + 1) ** 3


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """The mean over all pairs of two different pictures."""
    return float((kernel.sum() - np.trace(kernel)) / len(kernel) / (len(kernel) - 1))


class _AsTheyAre(nn.Module):
    """Logits that are found already, where torchmetrics expects the network that finds them."""

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


def inception_score(logits: np.ndarray) -> Figure:
    """The inception score (Salimans 2016): high if each picture is of one class, and all classes occur; at least 1."""

    def statistic(rows: np.ndarray) -> float:
        with _without_advice():
            metric = InceptionScore(feature=_AsTheyAre(logits.shape[1]), splits=1)
            metric.update(torch.from_numpy(logits[rows]))
            return float(metric.compute()[0])

    return estimate(statistic, len(logits))


def precision_and_recall(real: np.ndarray, painted: np.ndarray) -> tuple[Figure, Figure]:
    """Shares of painted pictures near real ones, and of real ones near painted (Kynkaanniemi 2019, equation 1).

    A picture is near others if it is nearer to one of them than that one's third neighbour. torchmetrics has no such
    measure.
    """
    return _within(painted, real), _within(real, painted)


def _within(pictures: np.ndarray, others: np.ndarray) -> Figure:
    one, many = torch.from_numpy(pictures).double(), torch.from_numpy(others).double()
    own = torch.cdist(many, many)
    reach = own.kthvalue(min(NEIGHBOURS + 1, len(many)), dim=1).values  # the nearest is the picture itself
    return share((torch.cdist(one, many) <= reach).any(1).tolist())


def fidelity(pictures: Sequence[Image.Image], again: Sequence[Image.Image]) -> tuple[Figure, Figure]:
    """PSNR in decibels and SSIM (Wang 2004) of reconstructed pictures."""
    wanted, found = _levels(pictures), _levels(again)
    noise = peak_signal_noise_ratio(found, wanted, data_range=1.0, dim=(1, 2, 3), reduction="none")
    likeness = structural_similarity_index_measure(found, wanted, data_range=1.0, reduction="none")
    assert isinstance(likeness, Tensor)  # noqa: S101 - a pair only where it is asked for
    return _mean(noise.clamp(max=CLEAREST)), _mean(likeness)


def _mean(values: Tensor) -> Figure:
    each = values.double().numpy().reshape(-1)
    return estimate(lambda rows: float(each[rows].mean()), len(each))


def _levels(pictures: Sequence[Image.Image]) -> Tensor:
    stack = np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 255


def places(scores: np.ndarray, right: Sequence[Sequence[int]]) -> list[int]:
    """For each row the rank, from 0, of the best correct column."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return [int(min(ranks[row][column] for column in columns)) for row, columns in enumerate(right)]


def first(found: Sequence[int], among: int = 1) -> Figure:
    """The share of ranks that are 0."""
    return share([place < among for place in found])
