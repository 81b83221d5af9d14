"""Limits on the total cost of a server's rules, and the sentence for a rule beyond them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from limner.bot.filters.disguises import coarse
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.regex.regexes import MOST_STEPS, program
from limner.bot.filters.rules import Rule
from limner.bot.quantities import decimal
from limner.bot.translation import N_, _, commas

MOST_CHARACTERS = 400_000
"""Characters in all rules of a server; twenty in each of the most rules that it may have."""
MOST_ALIKE = 100
"""Most words with equal keys; a language's own words have about twenty."""
MOST_SAME = 100
"""Most rules with the same text, for different places."""
MOST_REGEXES = 500
_SHOWN = 3
"""Rules that a sentence names."""

CHARACTERS = N_("The rules of a server may have {most} characters together; with this one they would have more.")
ALIKE = N_(
    "It is spelled so much like {number} other rules, such as {rules}, that texts would take too long to check; "
    "make one of them."
)
SAME = N_("A text may be in at most {most} rules for different places; name more places in one of them.")
REGEXES = N_("A server may have at most {most} regexes; make one of several, as in (?:one|another).")
STEPS = N_(
    "With it, the regexes here would take {steps} steps for each character of a text, and may take {most}; this one "
    "takes {own}, and {costliest} takes most. Use smaller numbers in {{ }} there, or take it away."
)


class Ledger:
    """The costs of a server's rules: those of its matcher ``without`` one of them, and the added ones."""

    def __init__(self, matcher: Matcher, without: str = "") -> None:
        self._matcher = matcher
        self._characters = sum(len(rule.pattern) for rule in matcher.every_rule if rule.id != without)
        self._same = Counter(rule.pattern.casefold() for rule in matcher.every_rule if rule.id != without)
        self._regexes = {
            _("rule {rule}", rule=rule.id): program(rule.pattern).steps
            for rule in matcher.every_rule
            if rule.is_regex and rule.id != without
        }
        self._words: defaultdict[coarse.Key, dict[str, str]] = defaultdict(dict)
        self._known = {_identity(rule) for rule in matcher.every_rule}

    def complaint(self, rules: Sequence[Rule]) -> str | None:
        """Why these would cost too much beside the others, in one sentence; None if not: then they are added.

        Existing entries cost nothing.
        """
        for rule in rules:
            if _identity(rule) in self._known:
                continue
            complaint = self._regex(rule) if rule.is_regex else self._alike(rule)
            if complaint:
                return complaint
            self._characters += len(rule.pattern)
            self._same[rule.pattern.casefold()] += 1
            if self._characters > MOST_CHARACTERS:
                return _(CHARACTERS, most=decimal(MOST_CHARACTERS))
            if self._same[rule.pattern.casefold()] > MOST_SAME:
                return _(SAME, most=MOST_SAME)
        return None

    def _regex(self, rule: Rule) -> str | None:
        own = program(rule.pattern).steps
        steps = sum(self._regexes.values()) + own
        if len(self._regexes) >= MOST_REGEXES:
            return _(REGEXES, most=MOST_REGEXES)
        if steps > MOST_STEPS:
            names: dict[str, float] = {**self._regexes, _("this one"): own}
            costliest = max(names, key=lambda name: names[name])
            return _(STEPS, steps=math.ceil(steps), most=MOST_STEPS, own=decimal(own, 1), costliest=costliest)
        self._regexes[rule.pattern] = own
        return None

    def _alike(self, rule: Rule) -> str | None:
        words = [(key, target.word) for target in self._matcher.targets_of(rule) for key in target.keys]
        for key, word in words:
            others = {
                target.word: _("rule {rule}", rule=rule_id) for target, rule_id in self._matcher.alike(key)
            } | self._words[key]
            others.pop(word, None)
            if len(others) >= MOST_ALIKE:
                return _(ALIKE, number=len(others), rules=commas([*others.values()][:_SHOWN]))
        for key, word in words:
            self._words[key].setdefault(word, rule.pattern)
        return None


def _identity(rule: Rule) -> tuple[str, bool, str]:
    return rule.pattern, rule.is_regex, " ".join(scope.key for scope in rule.scopes)
