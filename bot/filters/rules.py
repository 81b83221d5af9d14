"""Rules: a word, phrase, wildcard or regex with an action; invalid ones are refused with a reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from limner.bot.errors import BadRule
from limner.bot.filters.regex import regexes
from limner.bot.filters.scopes import Scope
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import line
from limner.bot.place import Place
from limner.bot.translation import _

MAX_PATTERN = 100
"""Characters of a keyword; as many as a line of Discord's autocomplete holds."""
MAX_NORMAL_FORM = 400
"""Characters of its normal form: a few letters may expand to whole words."""


class RuleKind(StrEnum):
    """How a pattern is compared with a text."""

    WORD = "word"
    PHRASE = "phrase"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    INFIX = "infix"
    REGEX = "regex"
    #: What a text is about (`bot.filters.policies`), whatever its words are.
    POLICY = "policy"


class RuleAction(StrEnum):
    """What a rule does to a request, the strongest first."""

    BLOCK = "block"
    FLAG = "flag"
    REPLACE = "replace"
    SPOILER = "spoiler"
    LOG = "log"


def strongest(actions: Iterable[RuleAction]) -> RuleAction | None:
    """The strongest of several actions; None for none."""
    return min(actions, key=list(RuleAction).index, default=None)


@dataclass(frozen=True)
class Rule:
    """A text that is forbidden in one server or everywhere (``guild_id`` 0), or allowed in spite of other rules."""

    id: str
    #: As the moderator wrote it, with its stars.
    pattern: str
    guild_id: int = 0
    is_regex: bool = False
    #: Whether its words are also found joined to others, and split.
    is_strict: bool = False
    #: Its own scope and its pack's; all must hold.
    scopes: tuple[Scope, ...] = ()
    action: RuleAction = RuleAction.BLOCK
    #: Shown to the member.
    reason: str = ""
    #: The replacement, for the action replace.
    replacement: str = ""
    #: Unix seconds.
    expires_at: float | None = None

    @property
    def kind(self) -> RuleKind:
        """What the pattern's stars and spaces say."""
        if self.is_regex:
            return RuleKind.REGEX
        return _KINDS.get((self.pattern.startswith("*"), self.pattern.endswith("*"))) or (
            RuleKind.PHRASE if " " in line(normalise(self.keyword).text).strip() else RuleKind.WORD
        )

    @property
    def keyword(self) -> str:
        """The pattern without its stars."""
        return self.pattern.strip("*")

    def holds(self, place: Place) -> bool:
        """Whether the rule counts there."""
        return (self.expires_at is None or place.now < self.expires_at) and all(
            scope.holds(place) for scope in self.scopes
        )


_KINDS = {(True, True): RuleKind.INFIX, (True, False): RuleKind.SUFFIX, (False, True): RuleKind.PREFIX}


def tidy(pattern: str) -> str:
    """The keyword without stray white space; raises BadRule, with one sentence, if it is not valid.

    One star at its start, its end or both stands for the rest of a word, as in Discord's AutoMod.
    """
    pattern = " ".join(pattern.split())
    keyword = pattern.removeprefix("*").removesuffix("*").strip()
    normal = line(normalise(keyword).text, with_symbols=True)
    if all(unicodedata.category(character)[0] in "PZ" for character in normal):
        raise BadRule(_("A rule needs at least one letter, digit or picture character."))
    if "*" in keyword:
        raise BadRule(_("A rule may have a * only at its start or its end, as in cat*, *cat or *cat*."))
    if len(pattern) > MAX_PATTERN or len(normal) > MAX_NORMAL_FORM:
        raise BadRule(
            _(
                "A rule may have at most {max_pattern} characters; shorten it or make several rules of it.",
                max_pattern=MAX_PATTERN,
            )
        )
    return f"{'*' * pattern.startswith('*')}{keyword}{'*' * pattern.endswith('*')}"


def tidy_regex(pattern: str) -> str:
    """The regex in NFC, like texts; raises BadRule, with one sentence and the position, if it is not valid."""
    pattern = unicodedata.normalize("NFC", pattern)
    if complaint := regexes.complaint(pattern):
        raise BadRule(complaint)
    return pattern


def normal_form(pattern: str) -> str:
    """Equal for keywords that match the same: stars, and words with one space between."""
    stars = pattern.startswith("*"), pattern.endswith("*")
    words = line(normalise(pattern.strip("*")).text, with_symbols=True).strip()
    return f"{'*' * stars[0]}{words}{'*' * stars[1]}"
