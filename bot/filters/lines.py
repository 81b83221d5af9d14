"""`limner filter check`: applies rules to many texts, one JSON line in and one out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from limner.bot.errors import BadRule, SetupError
from limner.bot.filters.matcher import Match, Matcher
from limner.bot.filters.rulebook.files import Item, read_whole
from limner.bot.filters.rulebook.wordlists import read
from limner.bot.filters.rules import Rule, RuleAction
from limner.bot.filters.work import TooCostly
from limner.bot.place import Where
from limner.bot.translation import N_, _, listed
from limner.generators.text_files import BadText, parse_json, read_text

Rules = tuple[list[Rule], list[Rule]]
"""Forbidden and allowed texts."""
ORDER = list(RuleAction)
TOO_COSTLY = N_("That text takes too long to check here.")


def check_lines(rules: Path | Matcher | None, lines: Iterable[str | BadText]) -> Iterator[dict[str, Any]]:
    """Read ``{id, text}`` lines, give ``{id, action, rule, reason}`` for each in the same order.

    ``action`` is allow, that of the strongest rule that matches, or error for a line that cannot be read; the lines
    after it go on. ``rules`` is a file for `read_rules`, or a matcher of `ContentFilter`; None forbids nothing. Blank
    lines are skipped.

    Raises:
        SetupError: the rules cannot be read; before any line is.
    """
    matcher = rules if isinstance(rules, Matcher) else Matcher(*(read_rules(rules) if rules else ((), ())))
    return (_check(matcher, number, line) for number, line in enumerate(lines, 1) if str(line).strip())


def read_rules(path: Path) -> Rules:
    """Rules from a file of any form that `wordlists.read` knows.

    Raises:
        SetupError: the file or one of its entries cannot be used or is doubtful, and which.
    """
    return _rules(path.name, read_items(path))


def read_items(path: Path) -> list[Item]:
    """The entries of a rule file, and what cannot be one; raises SetupError if it is no rule file."""
    try:
        return list(read(read_text(path, _("The rules file {path}", path=path.name)), path.name))
    except BadText as error:
        raise SetupError(str(error)) from error
    except BadRule as error:
        raise SetupError(_("The rules file {path} cannot be used. {error}", path=path.name, error=error)) from error


def read_entries(name: str, whole: Any) -> Rules:
    """Rules from what JSON gave; raises like `read_rules`, and BadRule if it holds no list of rules."""
    return _rules(name, list(read_whole(whole)))


def _rules(name: str, items: Sequence[Item]) -> Rules:
    for item in items:
        if item.complaint:
            raise SetupError(
                _(
                    "Rule {label} of the rules file {name} cannot be used. {value}",
                    label=item.label,
                    name=name,
                    value=item.problem or item.note,
                )
            )
    allow = [rule for item in items if item.entry and item.entry.is_allow for rule in item.rules()]
    return [rule for item in items if item.entry and not item.entry.is_allow for rule in item.rules()], allow


def _check(matcher: Matcher, number: int, line: str | BadText) -> dict[str, Any]:
    if isinstance(line, BadText):
        return _answer(None, "error", reason=str(line))
    try:
        entry = parse_json(line.removeprefix("\ufeff"), _("The text"), number)
    except BadText:
        return _answer(None, "error", reason=_("Line {number} is not valid JSON.", number=number))
    if not isinstance(entry, dict):
        return _answer(None, "error", reason=_("Line {number} is not an object with id and text.", number=number))
    known = cast(dict[str, Any], entry)
    label, text = known.get("id"), known.get("text")
    if not isinstance(label, str | int) or not isinstance(text, str):
        return _answer(None, "error", reason=_("Line {number} needs an id (text or number) and a text.", number=number))
    matches: list[Match] = []
    try:
        for match in matcher.matches(text, Where().place()):
            matches.append(match)
    except TooCostly as error:
        if all(match.rule.action != RuleAction.BLOCK for match in matches):
            return _answer(label, RuleAction.BLOCK, error.rule_id or None, _(TOO_COSTLY))
    match = min(matches, key=lambda match: ORDER.index(match.rule.action), default=None)
    if match is None:
        return _answer(label, "allow")
    reason = _("The text has what rule {rule} looks for.", rule=match.rule.id)
    if match.steps:
        disguise = listed(map(_, match.steps))
        reason = _(
            "The text has what rule {rule} looks for, in spite of {disguise}.", rule=match.rule.id, disguise=disguise
        )
    return _answer(label, match.rule.action, match.rule.id, reason)


def _answer(label: str | int | None, action: str, rule: str | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"id": label, "action": action, "rule": rule, "reason": reason}
