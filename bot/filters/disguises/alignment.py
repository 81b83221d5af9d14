"""The longest common subsequence of two sequences, in bit-parallel form.

Each item of the second one costs a few operations on integers with one bit per item of the first one: H. Hyyrö,
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
    """The length of the longest common subsequence."""
    rows = _rows(one, other, work)
    return len(one) - rows[-1].bit_count()


def aligned(one: Sequence[str], other: Sequence[str], work: Work) -> list[tuple[int, int]]:
    """The positions of its items in both sequences, ascending."""
    rows = _rows(one, other, work)
    return [*_traced(rows, len(one), len(other))][::-1]


def _rows(one: Sequence[str], other: Sequence[str], work: Work) -> list[int]:
    """For each prefix of ``other`` one bit per item of ``one``: 0 where that item increases the length."""
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
