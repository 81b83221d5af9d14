"""Moderators' regexes in AutoMod's syntax: checked one by one, bounded in size, searched in linear time by RE2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import re2

from limner.bot.filters.regex_code import CodedText, as_re2, dead_end, example
from limner.bot.filters.regex_syntax import parse
from limner.bot.filters.regex_tree import BadRegex
from limner.bot.filters.work import Work

_ENGINE: Any = re2  # it has no types

MAX_LENGTH = 260
"""Characters in a regex: Discord's own limit."""
MAX_PROGRAM = 4_000
"""Instructions in a compiled regex; more takes too long to build and to run."""
MEMORY = 8 << 20
"""Bytes that one regex may use; `_SET_MEMORY` is for all of them together."""
_SET_MEMORY = 64 << 20
_SET_SIZE = 64
_MATCH = 40
"""Steps for each match."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
NO_TEXT = (
    "The regex can match no text: what stands at position {} can never come there. Texts are read on one line, with "
    "single spaces and nothing invisible."
)
TOO_LARGE = "The regex is too large when its repetitions are written out; use smaller numbers in { }."


def _options(memory: int = MEMORY) -> Any:
    options = _ENGINE.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    return options


def complaint(pattern: str) -> str | None:
    """Why the regex cannot be a rule, in one sentence with the position; None if it can."""
    if len(pattern) > MAX_LENGTH:
        return (
            f"A regex may have at most {MAX_LENGTH} characters, this one has {len(pattern)}; make several rules of it."
        )
    if hidden := _HIDDEN.search(pattern):
        code, position = f"U+{ord(hidden[0]):04X}", hidden.start() + 1
        return f"The regex has an invisible character ({code}) at position {position}; remove it."
    try:
        tree = parse(pattern)
    except BadRegex as error:
        return f"The regex cannot be used: {error.fault} (position {error.position})."
    try:
        compiled = _ENGINE.compile(as_re2(tree), _options())
    except _ENGINE.error:
        return TOO_LARGE
    if compiled.programsize > MAX_PROGRAM:
        return TOO_LARGE
    found = example(tree)
    if found is None:
        return NO_TEXT.format(dead_end(tree))
    if not found.match:
        return "The regex matches the empty text, so it would stop every request; make sure that it needs a character."
    if compiled.search(CodedText(found.text).text) is None:
        return "The regex does not match the text that is made for it; write it in another way."
    if sum(compiled.search(letter) is not None for letter in _LETTERS) > len(_LETTERS) // 2:
        return "The regex matches nearly every letter alone, so it would stop every request; make it longer."
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


class Regexes:
    """Many regexes in a text: one pass says which of them match, then each of those says where."""

    def __init__(self, patterns: Sequence[str]) -> None:
        programs = [_program(pattern) for pattern in patterns]
        self._compiled = [_ENGINE.compile(program, _options()) for program in programs]
        self._sets = [
            (start, _as_set(programs[start : start + _SET_SIZE])) for start in range(0, len(programs), _SET_SIZE)
        ]

    def matches(self, text: str, work: Work) -> Iterator[tuple[int, int, int]]:
        """The number of a regex and where it matches, for every match."""
        if not self._sets:
            return
        code = CodedText(text)
        for start, some in self._sets:
            for number in sorted(some.Match(code.text) or ()):
                for match in self._compiled[start + number].finditer(code.text):
                    work.spend(_MATCH)
                    yield start + number, *code.span(*match.span())


def _as_set(programs: Sequence[str]) -> Any:
    some = _ENGINE.Set.SearchSet(_options(_SET_MEMORY))
    for program in programs:
        some.Add(program)
    some.Compile()
    return some
