"""What a regex costs: in how many states it can be, and how many of its characters it waits for at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from limner.bot.filters.regex.characters import Ranges
from limner.bot.filters.regex.tree import Alternatives, Chars, Edge, Node, Repeat, Sequence

FEW_STATES = 300
"""States in which a regex may be and still take hardly more for a character than to look up the next one."""
LIGHT, WAITING = 0.1, 0.25
"""Steps for a character of a text: of a regex with few states, and for each character that another one waits for."""
_MOST_LOOKS = 40_000
"""Characters that are followed from state to state while a regex is judged; one with more of them counts as large."""


class _Part(NamedTuple):
    """With which of its characters a part of a regex may begin and end, one bit each, and whether it may be empty."""

    first: int
    last: int
    is_nullable: bool


_NOTHING = _Part(0, 0, True)


class _Positions:
    """A regex written out: each of its characters, and those that may follow it (Glushkov's automaton)."""

    def __init__(self, tree: Node) -> None:
        self.sets: list[Ranges] = []
        self.follow: list[int] = []
        self.first = self._part(tree).first

    def _part(self, tree: Node) -> _Part:
        match tree:
            case Chars():
                bit = 1 << len(self.sets)
                self.sets.append(tree.ranges)
                self.follow.append(0)
                return _Part(bit, bit, False)
            case Edge():
                return _NOTHING
            case Sequence():
                return self._joined(map(self._part, tree.parts))
            case Alternatives():
                parts = [*map(self._part, tree.parts)]
                first, last = 0, 0
                for part in parts:
                    first, last = first | part.first, last | part.last
                return _Part(first, last, any(part.is_nullable for part in parts))
            case Repeat():
                return self._joined(self._copies(tree))

    def _copies(self, tree: Repeat) -> Iterator[_Part]:
        for _ in range(tree.least - (tree.most is None and tree.least > 0)):
            yield self._part(tree.part)
        if tree.most is None:
            part = self._part(tree.part)
            self._link(part.last, part.first)
            yield part._replace(is_nullable=part.is_nullable or not tree.least)
        else:
            for _ in range(tree.most - tree.least):
                yield self._part(tree.part)._replace(is_nullable=True)

    def _joined(self, parts: Iterable[_Part]) -> _Part:
        whole = _NOTHING
        for part in parts:
            self._link(whole.last, part.first)
            whole = _Part(
                whole.first | (part.first if whole.is_nullable else 0),
                part.last | (whole.last if part.is_nullable else 0),
                whole.is_nullable and part.is_nullable,
            )
        return whole

    def _link(self, last: int, first: int) -> None:
        for place in _bits(last):
            self.follow[place] |= first

    def accepting(self) -> list[int]:
        """For each kind of character that the regex distinguishes, the places where it may stand, one bit each."""
        places: dict[Ranges, int] = {}
        for place, ranges in enumerate(self.sets):
            places[ranges] = places.get(ranges, 0) | 1 << place
        changes: dict[int, int] = {}
        for ranges, mask in places.items():
            for first, last in ranges:
                changes[first] = changes.get(first, 0) ^ mask
                changes[last + 1] = changes.get(last + 1, 0) ^ mask
        accepted, found = 0, dict[int, None]()
        for code in sorted(changes):
            accepted ^= changes[code]
            found[accepted] = None
        return [mask for mask in found if mask]


def steps(tree: Node) -> float:
    """Steps that a search takes for each character of a text, at worst."""
    states, waiting = _extent(_Positions(tree))
    return LIGHT if states <= FEW_STATES else max(LIGHT, WAITING * waiting)


def _extent(positions: _Positions) -> tuple[int, int]:
    """How many states there are, up to one more than `FEW_STATES`, and for how many characters one waits at most.

    A state is the set of characters that the regex waits for while it is searched from every place of the text at once.
    Those with most are looked at first, so that the largest is found early.
    """
    kinds, start = positions.accepting(), positions.first
    seen, queue, widest, looks = {start}, [(-start.bit_count(), start)], start.bit_count(), 0
    while queue and len(seen) <= FEW_STATES:
        _, state = heapq.heappop(queue)
        for kind in kinds:
            looks += 1 + (state & kind).bit_count()
            after = start
            for place in _bits(state & kind):
                after |= positions.follow[place]
            if after not in seen:
                seen.add(after)
                widest = max(widest, after.bit_count())
                heapq.heappush(queue, (-after.bit_count(), after))
        if looks > _MOST_LOOKS:
            return FEW_STATES + 1, widest
    return len(seen), widest


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
