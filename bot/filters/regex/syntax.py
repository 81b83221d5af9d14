"""Reads a regex in the syntax of Discord's AutoMod (Rust's regex crate): a tree, or what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import replace

from limner.bot.filters.regex import characters as chars
from limner.bot.filters.regex.characters import EVERY, NEWLINE
from limner.bot.filters.regex.classes import CharacterReader, Flags, single
from limner.bot.filters.regex.tree import Alternatives, Chars, Edge, Node, Repeat, Sequence
from limner.bot.translation import N_, _

MAX_REPEAT = 250
"""The largest number in { }: a text of thousands of letters costs that many steps for each letter."""

LOOK_AROUND = N_("look-around is not part of AutoMod's syntax")
NOTHING_TO_REPEAT = N_("there is nothing before it to repeat; write \\{sign} for the character itself")
NEEDS_NUMBERS = N_("this repetition needs numbers, as in {2,5}; write \\{ for the character itself")
BORDER = N_("this border is not known here; write \\b")
UNICODE = N_("Unicode is always on here; leave the flag u out")
UNKNOWN_FLAG = N_("this flag is not known here; i, m, s, U and x are")

_NAME = re.compile(r"[^\W\d][\w.\[\]]*")
_NUMBERS = re.compile(r"\{\s*(\d+)\s*(,)?\s*(\d+)?\s*\}")


def parse(pattern: str) -> Node:
    """The regex as a tree; raises BadRegex if it is none."""
    return _Parser(pattern).whole()


class _Parser(CharacterReader):
    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self._names: set[str] = set()

    def whole(self) -> Node:
        tree = self._choice()
        if self._here < len(self._pattern):
            raise self._fault(_("the bracket ) closes nothing"))
        return tree

    def _choice(self) -> Node:
        start, branches = self._here, [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Alternatives(start + 1, tuple(branches))

    def _sequence(self) -> Node:
        start, parts, may_repeat = self._here, list[Node](), False
        self._skip()
        while (sign := self._peek()) not in ("", "|", ")"):
            if sign in "*+?{":
                if not may_repeat:
                    raise self._fault(_(NOTHING_TO_REPEAT, sign=sign))
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
            raise self._fault(_(NEEDS_NUMBERS))
        least, most = int(match[1][:9]), int(match[3][:9]) if match[3] else None
        if most is not None and most < least:
            raise self._fault(_("this repetition runs backwards"))
        if max(least, most or 0) > MAX_REPEAT:
            raise self._fault(_("it repeats more than {max_repeat} times; use a smaller number", max_repeat=MAX_REPEAT))
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
            raise self._fault(_(LOOK_AROUND), start)
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
            raise self._fault(_("the bracket ( is not closed"), start)
        self._flags = outer
        self._depth -= 1
        return Sequence(start + 1, (inside,))

    def _name(self) -> None:
        match = _NAME.match(self._pattern, self._here)
        if match is None or self._pattern[match.end() : match.end() + 1] != ">":
            raise self._fault(_("this group name cannot be used"))
        if match[0] in self._names:
            raise self._fault(_("this group name is used twice"))
        self._names.add(match[0])
        self._here = match.end() + 1

    def _flags_after(self) -> Flags:
        """The flags after (? as they are then; what follows is : or )."""
        flags, is_on, seen = self._flags, True, set[str]()
        start = self._here
        while (flag := self._peek()) not in (":", ")"):
            if flag == "":
                raise self._fault(_("the bracket ( is not closed"), start - 2)
            if flag in seen or flag not in "imsUxu-":
                raise self._fault(_(UNKNOWN_FLAG))
            if flag == "u" and not is_on:
                raise self._fault(_(UNICODE))
            seen.add(flag)
            is_on = is_on and flag != "-"
            flags = replace(flags, **{flag: is_on}) if flag not in "u-" else flags
            self._here += 1
        if self._pattern[self._here - 1] == "-" or (self._here == start and flag == ")"):
            raise self._fault(_(UNKNOWN_FLAG))
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
        return Chars(start, self._cased(single(sign)))

    def _escape(self) -> Node:
        start = self._here
        sign = self._peek(1)
        if sign in ("A", "z", "B") or (sign == "b" and not re.match(r"\s*[-A-Za-z]", self._brace_after(2))):
            self._here += 2
            return Edge(start + 1, "\\" + sign)
        if sign and sign in "b<>":
            raise self._fault(_(BORDER))
        return Chars(start + 1, self._cased(self._escaped()))

    def _brace_after(self, ahead: int) -> str:
        """What follows a { that stands there."""
        rest = self._pattern[self._here + ahead :]
        return rest[1:] if rest.startswith("{") else ""
