"""What Discord takes at most, and how words, lists and names are made to fit.

The figures are those of https://discord.com/developers/docs/resources/message and its pages on components, commands and
interactions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from limner.bot.translation import N_, _, commas

CONTENT = 2000
TITLE = 256
DESCRIPTION = 4096
FIELD = 1024
ANSWER_LENGTH = 4000
"""Most characters that Discord accepts from a text field."""
FIELDS = 25
FOOTER = 2048
EMBED = 6000
"""Characters of all texts of an embed together."""
CHOICES = 25
"""Most suggestions of an autocomplete, and options of a select."""
CHOICE = 100
"""Characters of a suggestion's or option's name, and of its value."""
ALT_TEXT = 1024
NONCE = 25

REST = N_("… and {number} more")

_CUT_OFF = re.compile(r"(?:<[^<>\s]{0,40}|(?<!\\)\\+)$")
"""Patterns that must not precede a cut: half a mention or a time, or a backslash that would escape the ellipsis."""
_DIGEST = 12


def length(text: str) -> int:
    """Length in UTF-16 units, as Discord's clients count; its servers count no more."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis; formatting and mentions are never cut in half."""
    if length(text) <= most:
        return text
    kept = text[: most - 1]
    while length(kept) > most - 1:
        kept = kept[: -max(1, (length(kept) - most + 1) // 2)]
    kept = _CUT_OFF.sub("", kept)
    if kept.count("``") % 2:
        kept = kept[: kept.rindex("``")]
    return kept.rstrip() + "…"


def share(texts: Iterable[str], room: int) -> int:
    """The length limit of each text so that all fit together; short texts leave their rest to the others."""
    lengths = sorted(map(length, texts))
    for number, one in enumerate(lengths):
        each = room // (len(lengths) - number)
        if one > each:
            return max(1, each)
        room -= one
    return max(lengths, default=0)


def fit(texts: Sequence[str], most: int, joint: str = "\n") -> str:
    """All texts joined; if they are too long together, the longest are cut."""
    each = share(texts, most - len(joint) * max(0, len(texts) - 1))
    return joint.join(cut(text, each) for text in texts)


def first_lines(lines: Sequence[str], most: int, rest: str = "") -> tuple[str, int]:
    """As many whole lines as fit, and a line with the number of the ``rest``."""
    rest = rest or _(REST)
    if length(whole := "\n".join(lines)) <= most:
        return whole, 0
    room = most - length(rest.format(number=len(lines)))
    kept = list[str]()
    for line in lines:
        room -= length(line) + 1
        if room < 0:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "\n".join([*kept, rest.format(number=left)]), left


def some(names: Collection[str], most: int = 10) -> str:
    """The first names, and the number of the others; long names are cut."""
    shown = commas(cut(name, CHOICE) for name in islice(names, most))
    return _("{names} and {number} more", names=shown, number=len(names) - most) if len(names) > most else shown


def key(name: str) -> str:
    """A name shortened to Discord's 100 characters and made unique by a hash; usually the name itself."""
    room = CHOICE - _DIGEST
    if length(name) <= room:
        return name
    return cut(name, room - _DIGEST) + hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]


def named(typed: str, names: Collection[str]) -> str | None:
    """The name given in full or by its `key`; None if there is none."""
    if typed in names:
        return typed
    long = (name for name in names if len(name) > (CHOICE - _DIGEST) // 2)  # the others are their own keys
    return next((name for name in long if typed == key(name)), None)


def nonce(*meaning: object) -> str:
    """A unique id of a message: Discord posts a message with a known nonce only once.

    Nonces are unique per author and not per channel, so it must name the message and its place.
    """
    return hashlib.sha256(repr(meaning).encode()).hexdigest()[:NONCE]
