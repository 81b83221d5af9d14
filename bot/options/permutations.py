"""Choices in braces: `a {red, blue} fox` makes one prompt for each combination."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from limner.bot.errors import BadPrompt
from limner.bot.options.flags import QUOTES
from limner.bot.translation import N_, _

MOST_COUNTED = 1_000_000
"""Combinations that are counted exactly."""
DEEPEST = 4
"""Braces within braces."""
TOO_MANY = N_("That makes {number} requests, and at most {most} are allowed at once; leave some choices out.")
TOO_DEEP = N_("Braces can stand in braces {most} deep; write that prompt with fewer.")

_PART = re.compile(rf"\\[{{}},]|(?<![^\s(\[,={{])(?:{QUOTES})|[{{}},，、｛｝]|[^\\{{}},，、｛｝\s]+|\s+|\\")
_OPENING, _CLOSING, _BETWEEN = "{｛", "}｝", ",，、"


@dataclass
class _Choice:
    """The alternatives of a pair of braces, as texts and choices, and the signs between them as they were typed."""

    opening: str = ""
    alternatives: list[list[str | _Choice]] = field(default_factory=lambda: [[]])
    commas: list[str] = field(default_factory=list[str])

    def literally(self, closing: str = "") -> list[str | _Choice]:
        """The same as plain words: one alternative is no choice."""
        parts: list[str | _Choice] = [self.opening, *self.alternatives[0]]
        for comma, alternative in zip(self.commas, self.alternatives[1:], strict=True):
            parts += [comma, *alternative]
        return [*parts, closing]


def prompts(text: str, most: int) -> list[str]:
    r"""The prompts that a text makes, in order; the text itself if it has no choices.

    `\{`, `\}` and `\,` are plain signs, and so are those in quotation marks, and braces without a comma.

    Raises:
        BadPrompt: there are more than ``most``; they are counted before any is made.
    """
    parts = _read(text)
    number = _count(parts)
    if number > most:
        shown = _("over {number}", number=MOST_COUNTED) if number > MOST_COUNTED else number
        raise BadPrompt(_(TOO_MANY, number=shown, most=most))
    return [" ".join("".join(words).split()) for words in _every(parts)]


def _read(text: str) -> list[str | _Choice]:
    """The texts and choices of a prompt in order."""
    open_ones = [_Choice()]
    for part in _PART.findall(text):
        inmost = open_ones[-1]
        if part in _OPENING:
            if len(open_ones) > DEEPEST:
                raise BadPrompt(_(TOO_DEEP, most=DEEPEST))
            open_ones.append(_Choice(part))
        elif part in _CLOSING and len(open_ones) > 1:
            open_ones.pop()
            is_choice = len(inmost.alternatives) > 1
            open_ones[-1].alternatives[-1] += [inmost] if is_choice else inmost.literally(part)
        elif part in _BETWEEN and len(open_ones) > 1:
            inmost.commas.append(part)
            inmost.alternatives.append([])
        else:
            inmost.alternatives[-1].append(part.removeprefix("\\") if len(part) == 2 else part)
    while len(open_ones) > 1:
        unclosed = open_ones.pop()
        open_ones[-1].alternatives[-1] += unclosed.literally()
    return open_ones[0].alternatives[0]


def _count(parts: list[str | _Choice]) -> int:
    """The number of combinations."""
    return math.prod(sum(map(_count, part.alternatives)) for part in parts if isinstance(part, _Choice))


def _every(parts: list[str | _Choice]) -> Iterator[list[str]]:
    """The words of every combination."""
    each = [[part] if isinstance(part, str) else _said(part) for part in parts]
    return map(list, itertools.product(*each))


def _said(choice: _Choice) -> list[str]:
    return ["".join(words) for alternative in choice.alternatives for words in _every(alternative)]
