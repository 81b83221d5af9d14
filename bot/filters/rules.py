"""What a moderator writes: a word or a phrase, read once, and refused with a reason if it cannot work."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from bot.errors import BadRule
from bot.filters.normalise import normalise

MAX_PATTERN = 100
"""Characters in a rule; as many as one line of Discord's autocomplete holds."""
MAX_NORMAL_FORM = 400
"""Characters in its normal form: a few letters spell whole words when written out."""


@dataclass(frozen=True)
class Rule:
    """A word or phrase that must not be drawn in one server, or anywhere (``guild_id`` 0)."""

    id: str
    #: As the moderator wrote it.
    pattern: str
    guild_id: int = 0


def tidy(pattern: str) -> str:
    """The pattern without stray white space; raises BadRule, with one sentence, if it cannot be a rule."""
    pattern = " ".join(pattern.split())
    normal = normal_form(pattern)
    if all(unicodedata.category(character)[0] in "PZ" for character in normal):
        raise BadRule("A rule needs at least one letter, digit or picture character.")
    if "*" in normal:
        raise BadRule("A rule is a plain word or phrase without *; add each form of the word as a rule of its own.")
    if len(pattern) > MAX_PATTERN or len(normal) > MAX_NORMAL_FORM:
        raise BadRule(f"A rule may have at most {MAX_PATTERN} characters; shorten it or make several rules of it.")
    return pattern


def normal_form(pattern: str) -> str:
    """The same text for patterns that match the same: tokens, with a space where words may be parted."""
    words: list[str] = []
    end = 0
    for token in normalise(pattern).tokens():
        words.append(" " * (token.start > end) + token.text)
        end = token.end
    return "".join(words).strip()
