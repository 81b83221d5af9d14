"""Prometheus's text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Metric:
    """A counter or a gauge, with a value for each combination of its labels."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict[tuple[str, ...], float])

    def __post_init__(self) -> None:
        if not self.labels:
            self.values[()] = 0

    def add(self, *labels: str, by: float = 1) -> None:
        """Count something with these values of the labels."""
        self.values[labels] = self.values.get(labels, 0) + by

    def set(self, value: float, *labels: str) -> None:
        """The value now."""
        self.values[labels] = value

    def lines(self) -> Iterator[str]:
        """Its lines of the text."""
        yield from _head(self.name, self.kind, self.meaning)
        for labels, value in sorted(self.values.items()):
            yield f"{self.name}{_labels(zip(self.labels, labels, strict=True))} {value:.15g}"


@dataclass
class Histogram:
    """How many observations were at most as large as each bound."""

    name: str
    meaning: str
    bounds: Sequence[float]
    total: float = 0.0

    def __post_init__(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self) -> Iterator[str]:
        """Its lines of the text."""
        yield from _head(self.name, "histogram", self.meaning)
        count = 0
        for bound, own in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), self._counts, strict=True):
            count += own
            yield f"{self.name}_bucket{_labels([('le', bound)])} {count}"
        yield f"{self.name}_sum {self.total:.15g}"
        yield f"{self.name}_count {count}"


@dataclass
class Summary:
    """The sum and the number of observations, for each combination of its labels; one over the other is their mean."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict[tuple[str, ...], tuple[float, int]])

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation with these values of the labels."""
        total, count = self.values.get(labels, (0.0, 0))
        self.values[labels] = total + value, count + 1

    def lines(self) -> Iterator[str]:
        """Its lines of the text."""
        yield from _head(self.name, "summary", self.meaning)
        for labels, (total, count) in sorted(self.values.items()):
            named = _labels(zip(self.labels, labels, strict=True))
            yield f"{self.name}_sum{named} {total:.15g}"
            yield f"{self.name}_count{named} {count}"


def written(metrics: Sequence[Metric | Histogram | Summary]) -> str:
    """The whole text."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _labels(pairs: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> str:
    escaped = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{escaped}}}" if escaped else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
