"""Moderators' regexes in RE2's syntax: checked one by one, bounded in size, searched in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import re2

_ENGINE: Any = re2  # it has no types

MAX_LENGTH = 260
"""Characters in a regex: Discord's own limit."""
MAX_PROGRAM = 4_000
"""Instructions in a compiled regex; more takes too long to build and to run."""
MAX_REPEAT = 250
"""The largest number in { }: a text of thousands of letters costs that many steps for each letter."""
MEMORY = 8 << 20
"""Bytes that one regex may use; `_SET_MEMORY` is for all of them together."""
_SET_MEMORY = 64 << 20
_SET_SIZE = 64

_SAMPLES = ("", "a", "a b", "猫", "Z9_-", "\n")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]|\{\d[\d,]*\}", re.DOTALL)
"""What a regex is made of, as far as brackets and numbers go."""
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_FAULTS = {
    "missing )": "the bracket ( is not closed",
    "unexpected )": "the bracket ) closes nothing",
    "missing ]": "the bracket [ is not closed",
    "no argument for repetition operator": "there is nothing before it to repeat",
    "bad repetition operator": "two repetitions follow each other",
    "invalid repetition size": "this repetition is too large when written out, or runs backwards",
    "invalid perl operator": "this group is not part of RE2's syntax (nor is any look-around)",
    "invalid escape sequence": "this escape is not part of RE2's syntax (back-references are not)",
    "invalid character class range": "this character class is not known",
    "invalid character class": "this character class is not known",
    "invalid named capture group": "this group name cannot be used",
    "trailing \\": "the last \\ escapes nothing",
    "duplicate capture group name": "this group name is used twice",
}
"""What RE2 calls it, and what a moderator understands."""


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
    for token in _TOKEN.finditer(pattern):
        if token[0][0] == "{" and any(int(number or 0) > MAX_REPEAT for number in token[0][1:-1].split(",")):
            return (
                f"The regex repeats more than {MAX_REPEAT} times at position {token.start() + 1}; use a smaller number."
            )
    try:
        compiled = _ENGINE.compile(pattern, _options())
    except _ENGINE.error as error:
        return _explain(pattern, error)
    if compiled.programsize > MAX_PROGRAM:
        return "The regex is too large when its repetitions are written out; use smaller numbers in { }."
    if any(match.end() == match.start() for sample in _SAMPLES for match in compiled.finditer(sample)):
        return "The regex matches the empty text, so it would stop every request; make sure that it needs a character."
    if sum(compiled.search(letter) is not None for letter in _LETTERS) > len(_LETTERS) // 2:
        return "The regex matches nearly every letter alone, so it would stop every request; make it longer."
    return None


def _explain(pattern: str, error: Exception) -> str:
    told = error.args[0] if error.args else ""
    text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    fault, _, part = text.partition(": ")
    if fault == "pattern too large - compile failed":
        return "The regex is too large when its repetitions are written out; use smaller numbers in { }."
    position = _open_bracket(pattern) if fault == "missing )" else max(pattern.find(part), 0) + 1
    return f"The regex cannot be used: {_FAULTS.get(fault, fault)} (position {position})."


def _open_bracket(pattern: str) -> int:
    """Where the first bracket is that nothing closes."""
    opened: list[int] = []
    for match in _TOKEN.finditer(pattern):
        if match[0] == "(":
            opened.append(match.start() + 1)
        elif match[0] == ")" and opened:
            opened.pop()
    return opened[0] if opened else 1


class Regexes:
    """Many regexes in a text: one pass says which of them match, then each of those says where."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._compiled = [_ENGINE.compile(pattern, _options()) for pattern in patterns]
        self._sets = [
            (start, _as_set(patterns[start : start + _SET_SIZE])) for start in range(0, len(patterns), _SET_SIZE)
        ]

    def matches(self, text: str) -> Iterator[tuple[int, int, int]]:
        """The number of a regex and where it matches, for every match."""
        for start, some in self._sets:
            for number in sorted(some.Match(text) or ()):
                for match in self._compiled[start + number].finditer(text):
                    yield start + number, match.start(), match.end()


def _as_set(patterns: Sequence[str]) -> Any:
    some = _ENGINE.Set.SearchSet(_options(_SET_MEMORY))
    for pattern in patterns:
        some.Add(pattern)
    some.Compile()
    return some
