"""Reads characters, escapes and classes of a regex in the syntax of Rust's regex crate: each is a set of characters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from limner.bot.filters.regex import characters as chars
from limner.bot.filters.regex.characters import SPACE, Ranges
from limner.bot.filters.regex.tree import BadRegex
from limner.bot.translation import N_, _

DEEPEST = 50
"""How many brackets may stand inside each other."""
BACK_REFERENCE = N_("back-references are not part of AutoMod's syntax")
UNKNOWN_CLASS = N_(
    "this character class is not known; name a category, such as \\p{L}, or a script, such as \\p{Greek}"
)
NO_CLASS_ITEM = N_("this cannot stand inside [ ]")

_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xuU]\{([0-9A-Fa-f]+)\}")
_PROPERTY = re.compile(r"\{([^}]*)\}|([^\\])")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_SPECIAL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPACE = re.compile("[" + "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in SPACE) + "]+|#[^\n]*")


@dataclass(frozen=True)
class Flags:
    """Case does not matter unless the regex says so, as in AutoMod."""

    i: bool = True
    m: bool = False
    s: bool = False
    U: bool = False
    x: bool = False


class CharacterReader:
    """A place in a regex, the flags there, and what reads a set of characters from it."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._here = 0
        self._flags = Flags()
        self._depth = 0

    def _fault(self, fault: str, place: int | None = None) -> BadRegex:
        return BadRegex(fault, (self._here if place is None else place) + 1)

    def _peek(self, ahead: int = 0) -> str:
        """The next character; "" at the end."""
        return self._pattern[self._here + ahead : self._here + ahead + 1]

    def _take(self, text: str) -> bool:
        is_next = self._pattern.startswith(text, self._here)
        self._here += len(text) * is_next
        return is_next

    def _skip(self) -> None:
        """With the flag x, white space and comments mean nothing."""
        while self._flags.x and (space := _SPACE.match(self._pattern, self._here)):
            self._here = space.end()

    def _enter(self, start: int) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault(_("more than {deepest} brackets stand inside each other", deepest=DEEPEST), start)

    def _cased(self, ranges: Ranges) -> Ranges:
        return chars.in_any_case(ranges) if self._flags.i else ranges

    def _escaped(self) -> Ranges:
        """The characters that an escape stands for; one that stands for itself is in its own case."""
        start = self._here
        self._here += 1
        sign = self._peek()
        if sign and sign in "xuU":
            return single(self._code())
        if sign and sign in "pP":
            return self._property()
        self._here += 1
        if sign and sign in "dswDSW":
            ranges = {"d": chars.digits, "s": lambda: SPACE, "w": chars.word}[sign.lower()]()
            return ranges if sign.islower() else chars.complement(ranges)
        if sign in _SPECIAL:
            return single(_SPECIAL[sign])
        if sign == "":
            raise self._fault(_("the last \\ escapes nothing"), start)
        if sign.isdecimal():
            raise self._fault(_(BACK_REFERENCE), start)
        if sign.isalnum() or not sign.isascii() or sign in "<>":
            raise self._fault(
                _("\\{sign} means nothing; write {sign} alone for the character itself", sign=sign), start
            )
        return single(sign)

    def _code(self) -> str:
        match = _HEX.match(self._pattern, self._here)
        code = int(next(filter(None, match.groups())), 16) if match else -1
        if match is None or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self._fault(_("this number is no character; write it as in \\x41 or \\x{1F600}"), self._here - 1)
        self._here = match.end()
        return chr(code)

    def _property(self) -> Ranges:
        start = self._here - 1
        is_without = self._peek() == "P"
        match = _PROPERTY.match(self._pattern, self._here + 1)
        name = (match[1] or match[2]) if match else ""
        bare = name.replace("!=", "=")
        ranges = chars.named(bare) if name else None
        if match is None or ranges is None:
            raise self._fault(_(UNKNOWN_CLASS), start)
        self._here = match.end()
        ranges = self._cased(ranges)
        return chars.complement(ranges) if is_without != (bare != name) else ranges

    def _class(self) -> Ranges:
        """What stands between [ and ]: parts side by side, and sets that are combined with &&, -- and ~~ in order."""
        start = self._here
        self._enter(start)
        self._here += 1
        self._skip()
        is_without = self._take("^")
        self._skip()
        total: Ranges = ()
        combine: Callable[[Ranges, Ranges], Ranges] = chars.union
        items = self._first_items()
        while not self._take("]"):
            if self._peek() == "":
                raise self._fault(_("the bracket [ is not closed"), start)
            operator = next((one for one in _OPERATORS if self._take(one)), None)
            if operator:
                total, items = combine(total, self._cased(chars.union(*items))), []
                combine = _OPERATORS[operator]
            else:
                items.append(self._class_item())
            self._skip()
        self._depth -= 1
        total = combine(total, self._cased(chars.union(*items)))
        return chars.complement(total) if is_without else total

    def _first_items(self) -> list[Ranges]:
        """Signs that mean themselves at the start of a class: any number of -, or one ]."""
        items: list[Ranges] = []
        while self._take("-"):
            items.append(single("-"))
            self._skip()
        if not items and self._take("]"):
            items.append(single("]"))
            self._skip()
        return items

    def _class_item(self) -> Ranges:
        """A character, a range of them, or a class inside the class."""
        start = self._here
        if self._peek() == "[":
            match = _POSIX.match(self._pattern, self._here)
            known = chars.posix(match[2]) if match else None
            if match is None or known is None:
                return self._class()
            self._here = match.end()
            return chars.complement(self._cased(known)) if match[1] else known
        first = self._item()
        self._skip()
        ahead = 1
        while self._flags.x and (space := _SPACE.match(self._pattern, self._here + ahead)):
            ahead = space.end() - self._here
        if self._peek() != "-" or self._peek(ahead) in ("", "]", "-"):
            return first
        self._here += 1
        self._skip()
        last = self._item()
        if len(first) != 1 or len(last) != 1 or first[0][0] != first[0][1] or last[0][0] != last[0][1]:
            raise self._fault(_("a range goes from one character to another"), start)
        if first > last:
            raise self._fault(_("this range runs backwards"), start)
        return ((first[0][0], last[0][1]),)

    def _item(self) -> Ranges:
        """One character of a class, in its own case, or a class by its name."""
        if self._peek() != "\\":
            self._here += 1
            return single(self._pattern[self._here - 1])
        if self._peek(1) and self._peek(1) in "AzbB<>":
            raise self._fault(_(NO_CLASS_ITEM))
        return self._escaped()


_OPERATORS: dict[str, Callable[[Ranges, Ranges], Ranges]] = {
    "&&": chars.intersection,
    "--": lambda one, other: chars.intersection(one, chars.complement(other)),
    "~~": lambda one, other: chars.intersection(
        chars.union(one, other), chars.complement(chars.intersection(one, other))
    ),
}


def single(character: str) -> Ranges:
    """The set of one character."""
    return ((ord(character), ord(character)),)
