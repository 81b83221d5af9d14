"""What a regex is made of, and what is wrong with one that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from limner.bot.filters.regex.characters import Ranges


class BadRegex(Exception):
    """What is wrong with a regex, as a part of a sentence, and where, counted from 1."""

    def __init__(self, fault: str, position: int) -> None:
        super().__init__(fault)
        self.fault = fault
        self.position = position


@dataclass(frozen=True)
class Chars:
    """One character of a set; ``position`` says where it is written, counted from 1, as in every node."""

    position: int
    ranges: Ranges


@dataclass(frozen=True)
class Edge:
    """A place between characters: the start or the end of the text or of a line, or a border of a word, or none.

    Named as RE2 writes it.
    """

    position: int
    kind: str


@dataclass(frozen=True)
class Repeat:
    """A part, ``least`` to ``most`` times (None: without end)."""

    position: int
    part: Node
    least: int
    most: int | None
    is_greedy: bool


@dataclass(frozen=True)
class Sequence:
    """Parts one after another."""

    position: int
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Alternatives:
    """One of several parts."""

    position: int
    parts: tuple[Node, ...]


Node = Chars | Edge | Repeat | Sequence | Alternatives
