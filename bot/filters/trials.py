"""Tries rules on texts made of their own words before they are saved, so that useless ones are reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from limner.bot.errors import BadRule
from limner.bot.filters.matcher import Matcher, Spans
from limner.bot.filters.regex import regexes
from limner.bot.filters.rules import Rule, RuleAction
from limner.bot.filters.text.keywords import Found, Keywords, keyword
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import line
from limner.bot.filters.verdicts import settle
from limner.bot.filters.work import Work
from limner.bot.translation import N_, _

NEVER = N_("The rule does not find its own text {pattern!r}; write it in another way.")
AGAIN = N_(
    "What is written instead has what the rule looks for, so it would be replaced without end; write something else."
)


def own_text(rule: Rule) -> str:
    """A text in which the rule should match."""
    return regexes.example_of(rule.pattern) if rule.is_regex else rule.keyword


def check(rules: Sequence[Rule]) -> None:
    """Raise BadRule, with one sentence, if one of the rules matches nothing, or matches its own replacement.

    The rules differ only in their patterns, like those of a pack.
    """
    for rule in rules:
        if not rule.is_regex and not _own_spans(rule, own_text(rule)):
            raise BadRule(_(NEVER, pattern=rule.pattern))
    if any(rule.action == RuleAction.REPLACE for rule in rules):
        anywhere = [_everywhere(rule) for rule in rules]
        matcher = Matcher(anywhere)
        for rule in anywhere:
            settled = settle(own_text(rule), [matcher])
            if settled.stubborn and settled.text:
                raise BadRule(_(AGAIN))


class Allowed:
    """Allowed texts, and whether they cancel every match of a rule, wherever both count."""

    def __init__(self, allow: Sequence[Rule]) -> None:
        self._keywords = Keywords([keyword(rule.pattern) for rule in allow])

    def frees(self, rule: Rule) -> bool:
        """Whether the rule's match in its own text lies inside allowed texts."""
        text = own_text(rule)
        allowed = [self._keywords.whole(written, found) for written, found in _found(text, self._keywords)]
        freed, own = Spans((one.start, one.end) for one in allowed), _own_spans(rule, text) if allowed else []
        return bool(own) and all(freed.hold(start, end) for start, end in own)


def _found(text: str, keywords: Keywords) -> Iterator[tuple[str, Found]]:
    written = normalise(text).text
    return ((written, found) for found in keywords.find(written, line(written), _unbounded()))


def _own_spans(rule: Rule, text: str) -> list[tuple[int, int]]:
    """Where the rule finds something in the normal form of its own text."""
    if rule.is_regex:
        found = regexes.Regexes([rule.pattern]).matches(normalise(text).text, _unbounded())
        return [(start, end) for _, start, end in found]
    return [(found.start, found.end) for _, found in _found(text, Keywords([keyword(rule.pattern)]))]


def _unbounded() -> Work:
    """Any number of steps: a rule's own text is short."""
    return Work(float("inf"))


def _everywhere(rule: Rule) -> Rule:
    return replace(rule, scopes=(), expires_at=None)
