"""Reads a regex in the syntax of Discord's AutoMod (Rust's regex crate): a tree, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from limner.bot.filters import characters as chars
from limner.bot.filters.characters import EVERY, NEWLINE, SPACE, Ranges

MAX_REPEAT = 250
"""The largest number in { }: a text of thousands of letters costs that many steps for each letter."""
DEEPEST = 50
"""How many brackets may stand inside each other."""

LOOK_AROUND = "look-around is not part of AutoMod's syntax"
BACK_REFERENCE = "back-references are not part of AutoMod's syntax"
NOTHING_TO_REPEAT = "there is nothing before it to repeat; write \\{} for the character itself"
NEEDS_NUMBERS = "this repetition needs numbers, as in {2,5}; write \\{ for the character itself"
UNKNOWN_CLASS = "this character class is not known; name a category, such as \\p{L}, or a script, such as \\p{Greek}"
NO_CLASS_ITEM = "this cannot stand inside [ ]"
BORDER = "this border is not known here; write \\b"
UNICODE = "Unicode is always on here; leave the flag u out"
UNKNOWN_FLAG = "this flag is not known here; i, m, s, U and x are"

_NAME = re.compile(r"[^\W\d][\w.\[\]]*")
_NUMBERS = re.compile(r"\{\s*(\d+)\s*(,)?\s*(\d+)?\s*\}")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xuU]\{([0-9A-Fa-f]+)\}")
_PROPERTY = re.compile(r"\{([^}]*)\}|([^\\])")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_SPECIAL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPACE = re.compile("[" + "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in SPACE) + "]+|#[^\n]*")


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
class Choice:
    """One of several parts."""

    position: int
    parts: tuple[Node, ...]


Node = Chars | Edge | Repeat | Sequence | Choice


@dataclass(frozen=True)
class _Flags:
    """Case does not matter unless the regex says so, as in AutoMod."""

    i: bool = True
    m: bool = False
    s: bool = False
    U: bool = False
    x: bool = False


def parse(pattern: str) -> Node:
    """The regex as a tree; raises BadRegex if it is none."""
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._here = 0
        self._flags = _Flags()
        self._names: set[str] = set()
        self._depth = 0

    def whole(self) -> Node:
        tree = self._choice()
        if self._here < len(self._pattern):
            raise self._fault("the bracket ) closes nothing")
        return tree

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

    def _choice(self) -> Node:
        start, branches = self._here, [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(start + 1, tuple(branches))

    def _sequence(self) -> Node:
        start, parts, may_repeat = self._here, list[Node](), False
        self._skip()
        while (sign := self._peek()) not in ("", "|", ")"):
            if sign in "*+?{":
                if not may_repeat:
                    raise self._fault(NOTHING_TO_REPEAT.replace("{}", sign))
                parts.append(self._repeat(parts.pop()))
            else:
                part = self._group() if sign == "(" else self._primitive(sign)
                may_repeat = part is not None
                parts += [part] if part is not None else []
            self._skip()
        return parts[0] if len(parts) == 1 else Sequence(start + 1, tuple(parts))

    def _repeat(self, part: Node) -> Node:
        start = self._here
        if self._peek() == "{":
            least, most = self._numbers()
        else:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._peek()]
            self._here += 1
        is_lazy = self._take("?")
        return Repeat(start + 1, part, least, most, is_greedy=is_lazy == self._flags.U)

    def _numbers(self) -> tuple[int, int | None]:
        match = _NUMBERS.match(self._pattern, self._here)
        if match is None:
            raise self._fault(NEEDS_NUMBERS)
        least, most = int(match[1][:9]), int(match[3][:9]) if match[3] else None
        if most is not None and most < least:
            raise self._fault("this repetition runs backwards")
        if max(least, most or 0) > MAX_REPEAT:
            raise self._fault(f"it repeats more than {MAX_REPEAT} times; use a smaller number")
        self._here = match.end()
        self._skip()
        return least, most if match[2] else least

    def _group(self) -> Node | None:
        """What the brackets hold; None for flags that hold from there on."""
        start, outer = self._here, self._flags
        self._enter(start)
        self._here += 1
        self._skip()
        if any(self._pattern.startswith(sign, self._here) for sign in ("?=", "?!", "?<=", "?<!")):
            raise self._fault(LOOK_AROUND, start)
        if self._take("?P<") or self._take("?<"):
            self._name()
        elif self._take("?"):
            self._flags = self._flags_after()
            if self._take(")"):
                self._depth -= 1
                return None
            self._here += 1
        inside = self._choice()
        if not self._take(")"):
            raise self._fault("the bracket ( is not closed", start)
        self._flags = outer
        self._depth -= 1
        return Sequence(start + 1, (inside,))

    def _enter(self, start: int) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault(f"more than {DEEPEST} brackets stand inside each other", start)

    def _name(self) -> None:
        match = _NAME.match(self._pattern, self._here)
        if match is None or self._pattern[match.end() : match.end() + 1] != ">":
            raise self._fault("this group name cannot be used")
        if match[0] in self._names:
            raise self._fault("this group name is used twice")
        self._names.add(match[0])
        self._here = match.end() + 1

    def _flags_after(self) -> _Flags:
        """The flags after (? as they are then; what follows is : or )."""
        flags, is_on, seen = self._flags, True, set[str]()
        start = self._here
        while (flag := self._peek()) not in (":", ")"):
            if flag == "":
                raise self._fault("the bracket ( is not closed", start - 2)
            if flag in seen or flag not in "imsUxu-":
                raise self._fault(UNKNOWN_FLAG)
            if flag == "u" and not is_on:
                raise self._fault(UNICODE)
            seen.add(flag)
            is_on = is_on and flag != "-"
            flags = replace(flags, **{flag: is_on}) if flag not in "u-" else flags
            self._here += 1
        if self._pattern[self._here - 1] == "-" or (self._here == start and flag == ")"):
            raise self._fault(UNKNOWN_FLAG)
        return flags

    def _primitive(self, sign: str) -> Node:
        start = self._here + 1
        if sign == "[":
            return Chars(start, self._class())
        if sign == "\\":
            return self._escape()
        self._here += 1
        if sign == "^":
            return Edge(start, "(?m:^)" if self._flags.m else r"\A")
        if sign == "$":
            return Edge(start, "(?m:$)" if self._flags.m else r"\z")
        if sign == ".":
            return Chars(start, EVERY if self._flags.s else chars.complement(NEWLINE))
        return Chars(start, self._cased(_one(sign)))

    def _cased(self, ranges: Ranges) -> Ranges:
        return chars.in_any_case(ranges) if self._flags.i else ranges

    def _escape(self) -> Node:
        start = self._here
        sign = self._peek(1)
        if sign in ("A", "z", "B") or (sign == "b" and not re.match(r"\s*[-A-Za-z]", self._brace_after(2))):
            self._here += 2
            return Edge(start + 1, "\\" + sign)
        if sign and sign in "b<>":
            raise self._fault(BORDER)
        return Chars(start + 1, self._cased(self._escaped()))

    def _brace_after(self, ahead: int) -> str:
        """What follows a { that stands there."""
        rest = self._pattern[self._here + ahead :]
        return rest[1:] if rest.startswith("{") else ""

    def _escaped(self) -> Ranges:
        """The characters that an escape stands for; one that stands for itself is in its own case."""
        start = self._here
        self._here += 1
        sign = self._peek()
        if sign and sign in "xuU":
            return _one(self._code())
        if sign and sign in "pP":
            return self._property()
        self._here += 1
        if sign and sign in "dswDSW":
            ranges = {"d": chars.digits, "s": lambda: SPACE, "w": chars.word}[sign.lower()]()
            return ranges if sign.islower() else chars.complement(ranges)
        if sign in _SPECIAL:
            return _one(_SPECIAL[sign])
        if sign == "":
            raise self._fault("the last \\ escapes nothing", start)
        if sign.isdecimal():
            raise self._fault(BACK_REFERENCE, start)
        if sign.isalnum() or not sign.isascii() or sign in "<>":
            raise self._fault(f"\\{sign} means nothing; write {sign} alone for the character itself", start)
        return _one(sign)

    def _code(self) -> str:
        match = _HEX.match(self._pattern, self._here)
        code = int(next(filter(None, match.groups())), 16) if match else -1
        if match is None or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self._fault("this number is no character; write it as in \\x41 or \\x{1F600}", self._here - 1)
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
            raise self._fault(UNKNOWN_CLASS, start)
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
                raise self._fault("the bracket [ is not closed", start)
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
            items.append(_one("-"))
            self._skip()
        if not items and self._take("]"):
            items.append(_one("]"))
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
            raise self._fault("a range goes from one character to another", start)
        if first > last:
            raise self._fault("this range runs backwards", start)
        return ((first[0][0], last[0][1]),)

    def _item(self) -> Ranges:
        """One character of a class, in its own case, or a class by its name."""
        if self._peek() != "\\":
            self._here += 1
            return _one(self._pattern[self._here - 1])
        if self._peek(1) and self._peek(1) in "AzbB<>":
            raise self._fault(NO_CLASS_ITEM)
        return self._escaped()


_OPERATORS: dict[str, Callable[[Ranges, Ranges], Ranges]] = {
    "&&": chars.intersection,
    "--": lambda one, other: chars.intersection(one, chars.complement(other)),
    "~~": lambda one, other: chars.intersection(
        chars.union(one, other), chars.complement(chars.intersection(one, other))
    ),
}


def _one(character: str) -> Ranges:
    return ((ord(character), ord(character)),)
