"""What two sequences have in common, in the same order: the longest common subsequence in bit-parallel form.

Each item of the second one costs a few operations on integers with a bit for each item of the first one: H. Hyyrö,
Bit-Parallel LCS-length Computation Revisited (2004).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limner.bot.filters.work import Work

_ITEM = 3
"""Steps that an item takes, beside those for the bits."""
_BITS = 1000
"""Bits for which it takes one step more."""


def common(one: Sequence[str], other: Sequence[str], work: Work) -> int:
    """How many items both have in the same order."""
    rows = _rows(one, other, work)
    return len(one) - rows[-1].bit_count()


def aligned(one: Sequence[str], other: Sequence[str], work: Work) -> list[tuple[int, int]]:
    """The places of these items in both, ascending."""
    rows = _rows(one, other, work)
    return [*_traced(rows, len(one), len(other))][::-1]


def _rows(one: Sequence[str], other: Sequence[str], work: Work) -> list[int]:
    """For each number of items of ``other`` a bit for each item of ``one``: 0 where the item makes the count larger."""
    work.spend((len(one) + len(other)) * _ITEM + len(one) * len(other) / _BITS)
    masks: dict[str, int] = {}
    for place, item in enumerate(one):
        masks[item] = masks.get(item, 0) | 1 << place
    every = (1 << len(one)) - 1
    rows = [every]
    for item in other:
        row = rows[-1]
        same = row & masks.get(item, 0)
        rows.append((row + same | row - same) & every)
    return rows


def _traced(rows: Sequence[int], one: int, other: int) -> Iterator[tuple[int, int]]:
    while one and other:
        if rows[other] >> one - 1 & 1:
            one -= 1
            continue
        other -= 1
        if rows[other] >> one - 1 & 1:
            one -= 1
            yield one, other
