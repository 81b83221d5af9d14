"""Moderators' regexes in AutoMod's syntax: checked one by one, bounded in size, searched in linear time by RE2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from limner.bot.filters.regex import cost
from limner.bot.filters.regex.code import CodedText, as_re2, dead_end, example
from limner.bot.filters.regex.syntax import parse
from limner.bot.filters.regex.tree import BadRegex
from limner.bot.filters.work import Work
from limner.bot.translation import N_, _

_ENGINE: Any = re2  # it has no types

MAX_LENGTH = 260
"""Characters in a regex: Discord's own limit."""
MAX_PROGRAM = 4_000
"""Instructions in a compiled regex; more takes too long to build and to run."""
MOST_STEPS = 120
"""Steps for a character of a text that all regexes of a server may take together: see `cost`."""
_MEMORY = 8 << 20
"""Bytes that RE2 may take to build a regex."""
_STATES_MEMORY, _INSTRUCTION_MEMORY = 128 << 10, 128
"""Bytes for the states of a regex while it is searched, and for each of its instructions."""
_MATCH, _CALL = 40, 20
"""Steps for each match, and for each search."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
NO_TEXT = N_(
    "The regex can match no text: what stands at position {position} can never come there. Texts are read on one "
    "line, with single spaces and nothing invisible."
)
TOO_LARGE = N_("The regex is too large when its repetitions are written out; use smaller numbers in { }.")


TOO_COSTLY = N_(
    "The regex takes too long to search: it reads some texts {times} times as slowly as other regexes do. Use smaller "
    "numbers in {{ }}, or fewer parts that match the same characters."
)


def _options(memory: int = _MEMORY) -> Any:
    options = _ENGINE.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    return options


def complaint(pattern: str) -> str | None:
    """Why the regex cannot be a rule, in one sentence with the position; None if it can."""
    if len(pattern) > MAX_LENGTH:
        return _(
            "A regex may have at most {max_length} characters, this one has {pattern}; make several rules of it.",
            max_length=MAX_LENGTH,
            pattern=len(pattern),
        )
    if hidden := _HIDDEN.search(pattern):
        code, position = f"U+{ord(hidden[0]):04X}", hidden.start() + 1
        return _(
            "The regex has an invisible character ({code}) at position {position}; remove it.",
            code=code,
            position=position,
        )
    try:
        tree = parse(pattern)
    except BadRegex as error:
        return _("The regex cannot be used: {fault} (position {position}).", fault=error.fault, position=error.position)
    try:
        compiled = _ENGINE.compile(as_re2(tree), _options())
    except _ENGINE.error:
        return _(TOO_LARGE)
    if compiled.programsize > MAX_PROGRAM:
        return _(TOO_LARGE)
    if (steps := cost.steps(tree)) > MOST_STEPS:
        return _(TOO_COSTLY, times=round(steps / cost.LIGHT))
    found = example(tree)
    if found is None:
        return _(NO_TEXT, position=dead_end(tree))
    if not found.match:
        return _(
            "The regex matches the empty text, so it would stop every request; make sure that it needs a character."
        )
    if compiled.search(CodedText(found.text).text) is None:
        return _("The regex does not match the text that is made for it; write it in another way.")
    if sum(compiled.search(letter) is not None for letter in _LETTERS) > len(_LETTERS) // 2:
        return _("The regex matches nearly every letter alone, so it would stop every request; make it longer.")
    return None


def example_of(pattern: str) -> str:
    """A text in which a regex without a complaint matches."""
    found = example(parse(pattern))
    return found.text if found else ""


def _program(pattern: str) -> str:
    """The regex in RE2's syntax; one that was made before its syntax was AutoMod's stays as it is."""
    try:
        return as_re2(parse(pattern))
    except BadRegex:
        return pattern


class Program(NamedTuple):
    """A regex in RE2's syntax, the bytes that it may take, and its steps for each character of a text, at worst."""

    pattern: str
    memory: int
    steps: float


@lru_cache(maxsize=2048)
def program(pattern: str) -> Program:
    """What a regex takes; its states may take little memory, and RE2 does without them where they are too many."""
    written = _program(pattern)
    size: int = _ENGINE.compile(written, _options()).programsize
    try:
        steps = cost.steps(parse(pattern))
    except BadRegex:
        steps = cost.WAITING * size
    return Program(written, _STATES_MEMORY + _INSTRUCTION_MEMORY * size, steps)


class Regexes:
    """Many regexes in a text: those whose letters are not there are left out, and each other one is searched.

    They are not searched together: regexes that are small by themselves have too many states as one.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        programs = [program(pattern) for pattern in patterns]
        self._steps = [one.steps for one in programs]
        self._compiled: dict[int, Any] = {}
        self._light, self._heavy = list[int](), list[int]()
        for number, one in enumerate(programs):
            (self._light if one.steps <= cost.LIGHT else self._heavy).append(number)
        self._light_filter, self._heavy_filter = (
            self._filter({number: programs[number] for number in numbers}) for numbers in (self._light, self._heavy)
        )

    def _filter(self, programs: Mapping[int, Program]) -> Any:
        made = _ENGINE.Filter()
        for one in programs.values():
            made.Add(one.pattern, _options(one.memory))
        made.Compile()
        self._compiled |= {number: made.re(place) for place, number in enumerate(programs)}
        return made

    def matches(self, text: str, work: Work) -> Iterator[tuple[int, int, int]]:
        """The number of a regex and where it matches, for every match."""
        if not self._compiled:
            return
        code, found = CodedText(text), list[int]()
        if self._light and (possible := self._light_filter.Match(code.text, potential=True)):
            work.spend(_CALL + cost.LIGHT * len(possible) * len(code.text))
            found += [self._light[place] for place in self._light_filter.Match(code.text) or ()]
        if self._heavy:
            found += [self._heavy[place] for place in self._heavy_filter.Match(code.text, potential=True) or ()]
        for number in sorted(found):
            steps = self._steps[number]
            work.spend(_CALL + steps * len(code.text))
            for match in self._compiled[number].finditer(code.text):
                first, last = match.span()
                work.spend(_MATCH + steps * (len(code.text) - first))
                yield number, *code.span(first, last)
