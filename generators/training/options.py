"""Number options of a command line, checked with one sentence for each error."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

MOST = 10**12
"""Larger whole numbers are typing errors."""


def whole(least: int = 1, most: int = MOST) -> Callable[[str], int]:
    """A parser of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            reach = f"from {least:,} to {most:,}" if most < MOST else f"of {least:,} or more"
            raise argparse.ArgumentTypeError(f"it needs a whole number {reach}, not {text[:40]}")
        return number

    return read


def above_zero(example: str) -> Callable[[str], float]:
    """Parse a number above 0."""

    def read(text: str) -> float:
        number = _number(text)
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"it needs a number above 0, such as {example}, not {text[:40]}")
        return number

    return read


def share(text: str) -> float:
    """Parse a share from 0 to below 1."""
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"it needs a number from 0 and below 1, such as 0.1, not {text[:40]}")
    return number


def widths(multiple: int) -> Callable[[str], tuple[int, ...]]:
    """A parser of two or more whole numbers separated by commas, each a multiple of the given one."""

    def read(text: str) -> tuple[int, ...]:
        try:
            numbers = tuple(int(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) < 2 or any(number <= 0 or number % multiple for number in numbers):
            raise argparse.ArgumentTypeError(
                f"it needs two or more multiples of {multiple}, such as {4 * multiple},{6 * multiple}, not {text[:40]}"
            )
        return numbers

    return read


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
