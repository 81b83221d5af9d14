r"""Turns a regex's tree into RE2's syntax, and texts into the code in which RE2's borders of words are Unicode's.

RE2's \b knows ASCII words only, and has no look-around to write another one. So a text is coded before it is searched:
each letter, digit or mark beyond ASCII becomes one of an unassigned plane between two underscores, and so does the
underscore itself. RE2 takes an underscore for part of a word, so it sees a border where Unicode has one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from limner.bot.filters.regex import characters as chars
from limner.bot.filters.regex.characters import BEYOND, Ranges
from limner.bot.filters.regex.tree import Alternatives, Chars, Edge, Node, Repeat, Sequence
from limner.bot.filters.text.normalise import INVISIBLE

_UNDERSCORE: Ranges = ((0x5F, 0x5F),)
_ASCII: Ranges = ((0, 0x7F),)
_UNKNOWN = "\ufffd"
"""Stands for halves of characters and for planes without writing."""
_JOINERS = "\u200c\u200d"
"""Characters that are not seen and stay in a text where a script needs them."""
_NEVER = r"[^\x00-\x{10FFFF}]"


@cache
def _kinds() -> tuple[tuple[int, Ranges], ...]:
    """How far each kind of word character is moved, so that a class with all of a kind is one range; the rest first."""
    letters, digits = (_beyond_ascii(chars.letters()), _beyond_ascii(chars.digits()))
    others = chars.intersection(chars.word(), chars.complement(chars.union(letters, digits, _ASCII)))
    others = chars.union(chars.intersection(others, ((0, BEYOND - 1),)), _UNDERSCORE)
    moved = chars.union(letters, digits, others, ((0xD800, 0xDFFF), (BEYOND, 0x10FFFF)))
    return (0, chars.complement(moved)), (BEYOND, letters), (2 * BEYOND, digits), (3 * BEYOND, others)


def _beyond_ascii(ranges: Ranges) -> Ranges:
    return chars.intersection(ranges, ((0x80, BEYOND - 1),))


class _Code(dict[int, str]):
    """Each character in the code; for `str.translate`."""

    def __missing__(self, code: int) -> str:
        moved = [by for by, members in _kinds() if chars.has(members, code, code)]
        self[code] = coded = (f"_{chr(code + moved[0])}_" if moved[0] else chr(code)) if moved else _UNKNOWN
        return coded


_CODE = _Code()


class CodedText:
    """A text in the code that the regexes of `as_re2` are written for."""

    def __init__(self, text: str) -> None:
        is_same = text.isascii() and "_" not in text
        self.text = text if is_same else text.translate(_CODE)
        self._sizes = [] if is_same else [len(_CODE[ord(character)]) for character in text]
        self._starts: list[int] = []

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the coded text is in the text itself."""
        if self._sizes and not self._starts:
            self._starts = [0, *accumulate(self._sizes)]
        return (bisect_left(self._starts, start), bisect_left(self._starts, end)) if self._starts else (start, end)


def as_re2(tree: Node) -> str:
    """The regex in RE2's syntax, for a coded text."""
    match tree:
        case Chars():
            return _class(tree.ranges)
        case Edge():
            return tree.kind
        case Repeat():
            return f"(?:{as_re2(tree.part)}){_times(tree)}{'' if tree.is_greedy else '?'}"
        case Sequence():
            return "".join(map(as_re2, tree.parts))
        case Alternatives():
            return f"(?:{'|'.join(map(as_re2, tree.parts))})"


def _times(tree: Repeat) -> str:
    if tree.least == tree.most:
        return f"{{{tree.least}}}"
    usual = {"0,": "*", "1,": "+", "0,1": "?"}
    times = f"{tree.least},{'' if tree.most is None else tree.most}"
    return usual.get(times, f"{{{times}}}")


def _class(ranges: Ranges) -> str:
    """A set of characters: those that are moved between underscores, and the others."""
    (_, plain), *moving = _kinds()
    as_they_are = chars.intersection(tuple(_joined(ranges, plain)), chars.complement(_UNDERSCORE))
    moved = chars.union(*(_moved(by, members, _joined(ranges, members)) for by, members in moving))
    choices = [_written(as_they_are)] * bool(as_they_are) + [f"_{_written(moved)}_"] * bool(moved)
    return choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})" if choices else _NEVER


def _joined(ranges: Ranges, members: Ranges) -> list[tuple[int, int]]:
    """The members that are in the set, in as few ranges as there can be: what is no member may be in them or not."""
    joined: list[tuple[int, int]] = []
    for first, last in chars.intersection(ranges, members):
        if joined and not chars.has(members, joined[-1][1] + 1, first - 1):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _moved(by: int, members: Ranges, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Some of the members on their plane; a range with the first or the last of them goes to the end of the plane."""
    for first, last in ranges:
        yield (
            by + (0 if first == members[0][0] else first),
            by + (BEYOND - 1 if last == members[-1][1] else last),
        )


def _written(ranges: Iterable[tuple[int, int]]) -> str:
    return "[" + "".join(f"\\x{{{first:X}}}" + f"-\\x{{{last:X}}}" * (last > first) for first, last in ranges) + "]"


# What a regex can match: for each place in a text where it may begin, the places where it may end, and a text between.

_KINDS = "awso"
"""What stands beside a place: nothing, a part of a word, a space, or something else."""
_Place = str
"""The kinds of what is before and after it."""
_Reach = dict[_Place, dict[_Place, str]]
_PLACES = tuple(before + after for before in _KINDS for after in _KINDS if before + after not in ("as", "ss", "sa"))
"""All there are: a request's texts are on one line, with one space at a time and none at the ends."""
_STAYS: _Reach = {place: {place: ""} for place in _PLACES}
_USUAL: tuple[Ranges, ...] = (((0x61, 0x7A),), ((0x21, 0x7E),))
"""Characters that an example is made of where it can be."""
_BESIDE = {"a": "", "w": "x", "s": " ", "o": "."}
"""A text for what is beside; a space has something on its other side."""


class Example(NamedTuple):
    """A text, and the part of it that a regex matches."""

    text: str
    match: str


def example(tree: Node) -> Example | None:
    """A short text in which the regex matches, with an empty match if there can be one; None if there is no text."""
    found = [
        Example(f"{'x' * (start[0] == 's')}{_BESIDE[start[0]]}{match}{_BESIDE[end[1]]}{'x' * (end[1] == 's')}", match)
        for start, ends in _reach(tree).items()
        for end, match in ends.items()
    ]
    return min(found, key=lambda one: (bool(one.match), len(one.text)), default=None)


def dead_end(tree: Node) -> int:
    """Where a regex without `example` stops making sense: the position of what can never follow what is before it."""
    if isinstance(tree, Sequence):
        here = _STAYS
        for part in tree.parts:
            reach = _reach(part)
            if not reach:
                return dead_end(part)
            here = _after(here, reach)
            if not here:
                return part.position
    return tree.position


def _reach(tree: Node) -> _Reach:
    match tree:
        case Chars():
            return _one_of(tree.ranges)
        case Edge():
            return {place: {place: ""} for place in _PLACES if _is_at(tree.kind, *place)}
        case Repeat():
            return _repeated(_reach(tree.part), tree.least, tree.most)
        case Sequence():
            here = _STAYS
            for part in tree.parts:
                here = _after(here, _reach(part))
            return here
        case Alternatives():
            return _either(*map(_reach, tree.parts))


def _is_at(edge: str, before: str, after: str) -> bool:
    match edge:
        case r"\A" | "(?m:^)":
            return before == "a"
        case r"\z" | "(?m:$)":
            return after == "a"
        case _:
            return ((before == "w") != (after == "w")) == (edge == r"\b")


def _one_of(ranges: Ranges) -> _Reach:
    reach: _Reach = {}
    for kind, members in _sorts():
        if some := chars.intersection(ranges, members):
            usual = (inside for nice in _USUAL if (inside := chars.intersection(some, nice)))
            text = chr(next(usual, some)[0][0])
            ends = {place: text for place in _PLACES if place[0] == kind}
            reach |= {place: ends for place in _PLACES if place[1] == kind}
    return reach


@cache
def _sorts() -> tuple[tuple[str, Ranges], ...]:
    """The characters of a request's texts by their kinds."""
    unseen = re.compile(f"[{INVISIBLE}]").match
    hidden = ((code, code) for code in range(BEYOND) if unseen(chr(code)) and chr(code) not in _JOINERS)
    shown = chars.complement(chars.union(hidden, ((0xD800, 0xDFFF), (BEYOND, 0x10FFFF))))
    others = chars.intersection(shown, chars.complement(chars.union(chars.word(), chars.SPACE)))
    return ("w", chars.intersection(chars.word(), shown)), ("s", ((0x20, 0x20),)), ("o", others)


def _after(one: _Reach, other: _Reach) -> _Reach:
    reach: _Reach = {}
    for start, middles in one.items():
        ends: dict[_Place, str] = {}
        for middle, text in middles.items():
            for end, more in other.get(middle, {}).items():
                if end not in ends or len(text) + len(more) < len(ends[end]):
                    ends[end] = text + more
        if ends:
            reach[start] = ends
    return reach


def _either(*some: _Reach) -> _Reach:
    reach: _Reach = {}
    for one in some:
        for start, ends in one.items():
            known = reach.setdefault(start, {})
            for end, text in ends.items():
                if end not in known or len(text) < len(known[end]):
                    known[end] = text
    return reach


def _repeated(reach: _Reach, least: int, most: int | None) -> _Reach:
    """``least`` times, and then as often as more may be; after as many as there are places nothing new is reached."""
    more = len(_PLACES) if most is None else min(most - least, len(_PLACES))
    return _after(_power(reach, least), _power(_either(_STAYS, reach), more))


def _power(reach: _Reach, times: int) -> _Reach:
    result = _STAYS
    while times:
        if times % 2:
            result = _after(result, reach)
        reach, times = _after(reach, reach), times // 2
    return result
