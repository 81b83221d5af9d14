"""Finds rules in a text: whole words, phrases over any gap, and unspaced scripts anywhere, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.filters.normalise import Normal, Token, normalise
from bot.filters.rules import Rule


@dataclass(frozen=True)
class Match:
    """A rule, and the part ``[start, end)`` of the original text in which it was found."""

    rule: Rule
    start: int
    end: int


class Matcher:
    """Many rules at once: the time for a text hardly depends on their number."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_first: defaultdict[str, list[tuple[Rule, list[Token]]]] = defaultdict(list)
        for rule in rules:
            wanted = list(normalise(rule.pattern).tokens())
            self._by_first[wanted[0].text].append((rule, wanted))

    def find(self, text: Normal) -> Match | None:
        """The first match in the text, or None."""
        return next(self.matches(text), None)

    def matches(self, text: Normal) -> Iterator[Match]:
        """Every rule wherever it matches, in the order of the text."""
        if not self._by_first:
            return
        tokens = list(text.tokens())
        for index, token in enumerate(tokens):
            for rule, wanted in self._by_first.get(token.text, ()):
                end = _match_end(tokens, index, wanted)
                if end is not None:
                    yield Match(rule, *text.span(token.start, end))


def _match_end(tokens: Sequence[Token], index: int, wanted: Sequence[Token]) -> int | None:
    """Where the wanted tokens end if they stand from ``index`` on; a gap among them is any gap, symbols included."""
    end, wanted_end = tokens[index].end, wanted[0].end
    for want in wanted[1:]:
        index += 1
        if want.start > wanted_end:
            while index < len(tokens) and tokens[index].is_symbol and tokens[index].text != want.text:
                index += 1
        if index == len(tokens) or tokens[index].text != want.text:
            return None
        if (tokens[index].start > end) != (want.start > wanted_end):
            return None
        end, wanted_end = tokens[index].end, want.end
    return end
