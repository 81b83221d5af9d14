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
FIELDS = 25
FOOTER = 2048
EMBED = 6000
"""Of all texts of an embed together."""
CHOICES = 25
"""Suggestions for what is being typed, and options of a select."""
CHOICE = 100
"""Of a suggestion or an option: what is read, and what comes back."""
ALT_TEXT = 1024
NONCE = 25

REST = N_("… and {number} more")

_CUT_OFF = re.compile(r"(?:<[^<>\s]{0,40}|(?<!\\)\\+)$")
"""What must not stand before a cut: half a mention or a time, or a backslash that would hide the ellipsis."""
_DIGEST = 12


def length(text: str) -> int:
    """Characters in UTF-16, as Discord's clients count; its servers count no more than these."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def cut(text: str, most: int) -> str:
    """The text itself, or its beginning and an ellipsis; what formats or mentions is kept whole or left out."""
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
    """The most that each text may have so that all fit together; short ones leave their room to the others."""
    lengths = sorted(map(length, texts))
    for number, one in enumerate(lengths):
        each = room // (len(lengths) - number)
        if one > each:
            return max(1, each)
        room -= one
    return max(lengths, default=0)


def fit(texts: Sequence[str], most: int, joint: str = "\n") -> str:
    """All of some texts, joined; if they are too long together, the longest are cut until they are not."""
    each = share(texts, most - len(joint) * max(0, len(texts) - 1))
    return joint.join(cut(text, each) for text in texts)


def first_lines(lines: Sequence[str], most: int, rest: str = "") -> tuple[str, int]:
    """As many whole lines as fit, and one that tells how many do not (``rest``); with that number."""
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
    """The first names in a row, and how many there are beyond them; long ones are cut."""
    shown = commas(cut(name, CHOICE) for name in islice(names, most))
    return _("{names} and {number} more", names=shown, number=len(names) - most) if len(names) > most else shown


def key(name: str) -> str:
    """What stands for a name where Discord takes 100 characters; with room for a number, so most often itself."""
    room = CHOICE - _DIGEST
    if length(name) <= room:
        return name
    return cut(name, room - _DIGEST) + hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]


def named(typed: str, names: Collection[str]) -> str | None:
    """The name that is meant, in full or by its `key`; None if there is none."""
    if typed in names:
        return typed
    long = (name for name in names if len(name) > (CHOICE - _DIGEST) // 2)  # the others are their own keys
    return next((name for name in long if typed == key(name)), None)


def nonce(*meaning: object) -> str:
    """What tells a message from all others of the bot; sent twice with the same one, Discord posts it once.

    A nonce is unique to its author and not to a channel, so it must say what the message is and where it belongs.
    """
    return hashlib.sha256(repr(meaning).encode()).hexdigest()[:NONCE]
