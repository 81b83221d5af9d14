"""Character sets as ranges of code points: set operations, and the sets that a regex can name."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

import re2

_ENGINE: Any = re2  # it has no types

Ranges = tuple[tuple[int, int], ...]
"""First and last code points, inclusive, ascending; no range touches the next."""
BEYOND = 0x40000
"""The first code point beyond written characters (then only tags, selectors and private use)."""
_LAST = 0x10FFFF

EVERY: Ranges = ((0, _LAST),)
NEWLINE: Ranges = ((10, 10),)
SPACE: Ranges = (
    *((9, 13), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)
"""Unicode's White_Space."""
_JOINERS: Ranges = ((0x200C, 0x200D),)
_LETTERS_AS_SYMBOLS: Ranges = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
"""Symbols that Unicode counts as alphabetic."""
_CATEGORIES = {
    "L": "letter",
    "Ll": "lowercaseletter",
    "Lm": "modifierletter",
    "Lo": "otherletter",
    "Lt": "titlecaseletter",
    "Lu": "uppercaseletter",
    "M": "mark combiningmark",
    "Mc": "spacingmark",
    "Me": "enclosingmark",
    "Mn": "nonspacingmark",
    "N": "number",
    "Nd": "decimalnumber digit",
    "Nl": "letternumber",
    "No": "othernumber",
    "P": "punctuation punct",
    "Pc": "connectorpunctuation",
    "Pd": "dashpunctuation",
    "Pe": "closepunctuation",
    "Pf": "finalpunctuation",
    "Pi": "initialpunctuation",
    "Po": "otherpunctuation",
    "Ps": "openpunctuation",
    "S": "symbol",
    "Sc": "currencysymbol",
    "Sk": "modifiersymbol",
    "Sm": "mathsymbol",
    "So": "othersymbol",
    "Z": "separator",
    "Zl": "lineseparator",
    "Zp": "paragraphseparator",
    "Zs": "spaceseparator",
    "C": "other",
    "Cc": "control cntrl",
    "Cf": "format",
}
_CATEGORY_OF = {name: short for short, names in _CATEGORIES.items() for name in (short.lower(), *names.split())}
_ASCII = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\0-\x7f",
    "blank": "\t ",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
"""POSIX's classes, which are ASCII."""


def union(*some: Iterable[tuple[int, int]]) -> Ranges:
    """The union of sets; each may be in any order."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(one for ranges in some for one in ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """The complement of the set."""
    starts = [0, *(last + 1 for _, last in ranges)]
    ends = [*(first - 1 for first, _ in ranges), _LAST]
    return tuple((first, last) for first, last in zip(starts, ends, strict=True) if first <= last)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """The intersection of both sets."""
    both: list[tuple[int, int]] = []
    mine, theirs = 0, 0
    while mine < len(one) and theirs < len(other):
        first = max(one[mine][0], other[theirs][0])
        last = min(one[mine][1], other[theirs][1])
        if first <= last:
            both.append((first, last))
        if one[mine][1] < other[theirs][1]:
            mine += 1
        else:
            theirs += 1
    return tuple(both)


def has(ranges: Ranges, first: int, last: int) -> bool:
    """Whether the set has a character from ``first`` to ``last``."""
    place = bisect_right(ranges, (last, _LAST)) - 1
    return place >= 0 and ranges[place][1] >= first


@lru_cache(maxsize=1024)
def in_any_case(ranges: Ranges) -> Ranges:
    """The set with all case variants of its characters (Unicode's simple case folding)."""
    cases = _cases()
    if sum(last - first for first, last in ranges) < len(cases):
        codes = [code for first, last in ranges for code in range(first, last + 1) if code in cases]
    else:
        codes = [code for code in cases if has(ranges, code, code)]
    return union(ranges, ((other, other) for code in codes for other in cases[code]))


@cache
def _cases() -> dict[int, tuple[int, ...]]:
    """All case variants of each cased letter."""
    folded = ((code, chr(code).casefold()) for code in range(0x1F000))
    alike: dict[str, list[int]] = {}
    for code, same in folded:
        if same != chr(code):
            alike.setdefault(same, [ord(same)] if len(same) == 1 else []).append(code)
    return {code: tuple(codes) for codes in alike.values() if len(codes) > 1 for code in codes}


@cache
def word() -> Ranges:
    """Word characters (UTS #18, Annex C): letters, marks, digits, connectors, joiners."""
    return union(letters(), digits(), *map(_category, ("M", "Nl", "Pc")), _JOINERS, _LETTERS_AS_SYMBOLS)


@cache
def letters() -> Ranges:
    """Unicode's category L."""
    return _category("L")


@cache
def digits() -> Ranges:
    """Unicode's category Nd."""
    return _category("Nd")


@lru_cache(maxsize=256)
def posix(name: str) -> Ranges | None:
    """A POSIX class by name, or None."""
    if name not in _ASCII:
        return None
    inside = re.compile(f"[{_ASCII[name]}]")
    return union((code, code) for code in range(128) if inside.match(chr(code)))


@lru_cache(maxsize=256)
def named(name: str) -> Ranges | None:
    """A general category, script or other property by name, in any of Unicode's loose spellings, or None."""
    key, _, value = name.lower().replace(":", "=").partition("=")
    key, bare = _loosely(key), _loosely(value or name)
    if value and key not in ("gc", "generalcategory", "sc", "script"):
        return None
    if bare in _CATEGORY_OF and key not in ("sc", "script"):
        return _category(_CATEGORY_OF[bare])
    if bare in ("any", "ascii", "whitespace", "wspace", "space"):
        return {"any": EVERY, "ascii": ((0, 127),)}.get(bare, SPACE)
    if bare in ("lowercase", "uppercase", "lower", "upper"):
        is_inside = str.islower if bare[0] == "l" else str.isupper
        return union((code, code) for code in range(0x1F200) if is_inside(chr(code)))
    script = "_".join(part.capitalize() for part in re.split("[ _-]", value or name) if part)
    return _of_script(script) if len(script) > 2 and script.replace("_", "").isalpha() else None


def _loosely(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


@cache
def _category(name: str) -> Ranges:
    """The characters of a general category, or of all that begin with one letter."""
    return union(*(ranges for category, ranges in _categories().items() if category.startswith(name)))


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    ranges: dict[str, list[tuple[int, int]]] = {}
    for category, run in groupby(range(BEYOND), lambda code: unicodedata.category(chr(code))):
        codes = list(run)
        ranges.setdefault(category, []).append((codes[0], codes[-1]))
    return ranges


def _of_script(name: str) -> Ranges | None:
    """The characters of a script that RE2 knows by that name."""
    options = _ENGINE.Options()
    options.log_errors = False
    try:
        inside = _ENGINE.compile(rf"\p{{{name}}}+", options)
    except _ENGINE.error:
        return None
    runs = (run.group().decode() for run in inside.finditer(_all_characters()))
    return union((ord(run[0]), ord(run[-1])) for run in runs)


@cache
def _all_characters() -> bytes:
    return "".join(map(chr, (*range(0xD800), *range(0xE000, BEYOND)))).encode()
