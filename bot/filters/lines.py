"""`limner filter check`: what rules would do to many texts, one JSON line in and one out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from bot.errors import BadRule, SetupError
from bot.filters.matcher import Matcher
from bot.filters.rules import Kind, Rule, Scope, tidy, tidy_regex

Rules = tuple[list[Rule], list[Rule]]
"""What is forbidden, and what is allowed in spite of it."""
_KINDS = frozenset(map(str, Kind))
_SCOPED = frozenset({"only_channels", "exempt_channels", "exempt_roles"})


def check_lines(rules: Path | Matcher | None, lines: Iterable[str]) -> Iterator[str]:
    """Read ``{id, text}`` lines, write ``{id, action, rule, reason}`` lines in the same order.

    ``action`` is allow, block, or error for a line that cannot be read; the lines after it go on. ``rules`` is a file
    for `read_rules`, or a matcher of `ContentFilter`; None forbids nothing. Blank lines are skipped.

    Raises:
        SetupError: the rules cannot be read; before any line is.
    """
    matcher = rules if isinstance(rules, Matcher) else Matcher(*(read_rules(rules) if rules else ((), ())))
    return (_check(matcher, number, line) for number, line in enumerate(lines, 1) if line.strip())


def read_rules(path: Path) -> Rules:
    """Rules from a JSON file: what `read_entries` takes, a list of entries, or one entry a line.

    Raises:
        SetupError: the file or one of its entries cannot be used, and which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SetupError(f"The rules file {path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"The rules file {path.name} is not UTF-8 text.") from error
    return read_entries(path.name, _parsed(path.name, text))


def read_entries(name: str, whole: Any) -> Rules:
    """Rules from ``{"packs": [{"rules": [...]}], "allow": [...]}``, ``{"rules": [...], "allow": [...]}`` or a list.

    An entry is a text, or an object with ``pattern`` and perhaps ``id`` and ``kind`` (regex; the others are said by the
    pattern's own stars). Entries and packs may have ``enabled``, ``only_channels``, ``exempt_channels``,
    ``exempt_roles``.

    Raises:
        SetupError: one of the entries cannot be used, and which.
    """
    packs, allow = _members(name, whole)
    rules: list[Rule] = []
    for pack in packs:
        entries = pack["rules"] if _is_enabled(pack) else ()
        rules += [
            _rule(name, len(rules) + number, entry, _scopes(pack))
            for number, entry in enumerate(entries, 1)
            if _is_enabled(entry)
        ]
    return rules, [_rule(name, number, entry, ()) for number, entry in enumerate(allow, 1) if _is_enabled(entry)]


def _check(matcher: Matcher, number: int, line: str) -> str:
    try:
        entry = json.loads(line.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return _answer(None, "error", reason=f"Line {number} is not valid JSON.")
    if not isinstance(entry, dict):
        return _answer(None, "error", reason=f"Line {number} is not an object with id and text.")
    known = cast(dict[str, Any], entry)
    label, text = known.get("id"), known.get("text")
    if not isinstance(label, str | int) or not isinstance(text, str):
        return _answer(None, "error", reason=f"Line {number} needs an id (text or number) and a text.")
    match = matcher.find(text)
    if match is None:
        return _answer(label, "allow")
    through = f", disguised by {' and '.join(match.steps)}" if match.steps else ""
    return _answer(label, "block", match.rule.id, f"The text has what rule {match.rule.id} forbids{through}.")


def _answer(label: str | int | None, action: str, rule: str | None = None, reason: str | None = None) -> str:
    return json.dumps({"id": label, "action": action, "rule": rule, "reason": reason})


def _parsed(name: str, text: str) -> Any:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return [_line(name, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    is_whole = isinstance(whole, list) or (isinstance(whole, dict) and "pattern" not in whole)
    return cast(Any, whole) if is_whole else [whole]


def _line(name: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"The rules file {name} is not valid JSON in line {number}.") from error


def _members(name: str, whole: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    if isinstance(whole, list):
        return [{"rules": whole}], []
    known = cast(dict[str, Any], whole)
    packs, allow = known.get("packs", [known]), known.get("allow", [])
    try:
        return [{**pack, "rules": list(pack["rules"])} for pack in packs], list(allow)
    except (KeyError, TypeError) as error:
        raise SetupError(f'The rules file {name} has no list of rules; write {{"rules": [...]}}.') from error


def _is_enabled(entry: Any) -> bool:
    return not isinstance(entry, dict) or cast(dict[str, Any], entry).get("enabled", True) is not False


def _scopes(entry: dict[str, Any]) -> tuple[Scope, ...]:
    if _SCOPED.isdisjoint(entry):
        return ()
    scope = Scope(
        only_channels=frozenset(entry.get("only_channels", ())),
        exempt_channels=frozenset(entry.get("exempt_channels", ())),
        exempt_roles=frozenset(entry.get("exempt_roles", ())),
    )
    return (scope,)


def _rule(name: str, number: int, entry: Any, scopes: tuple[Scope, ...]) -> Rule:
    known: dict[str, Any] = {"pattern": entry} if isinstance(entry, str) else entry
    try:
        label, pattern, kind = known.get("id", number), known["pattern"], known.get("kind", "word")
        scopes += _scopes(known)
    except (AttributeError, KeyError, TypeError) as error:
        raise SetupError(f"Entry {number} of the rules file {name} has no pattern.") from error
    where = f"Rule {label} of the rules file {name} cannot be used"
    if kind not in _KINDS or not isinstance(pattern, str):
        raise SetupError(f"{where}: its kind must be one of {', '.join(Kind)}.")
    try:
        is_regex = kind == Kind.REGEX
        return Rule(str(label), (tidy_regex if is_regex else tidy)(pattern), is_regex=is_regex, scopes=scopes)
    except BadRule as error:
        raise SetupError(f"{where}. {error}") from error
