"""`limner filter check`: what rules would do to many texts, one JSON line in and one out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from bot.errors import BadRule, SetupError
from bot.filters.matcher import Matcher
from bot.filters.normalise import normalise
from bot.filters.rules import Rule, tidy


def check_lines(rules: Path | Matcher | None, lines: Iterable[str]) -> Iterator[str]:
    """Read ``{id, text}`` lines, write ``{id, action, rule, reason}`` lines in the same order.

    ``action`` is allow, block, or error for a line that cannot be read; the lines after it go on. ``rules`` is a file
    for `read_rules`, or a matcher of `ContentFilter`; None forbids nothing. Blank lines are skipped.

    Raises:
        SetupError: the rules cannot be read; before any line is.
    """
    matcher = rules if isinstance(rules, Matcher) else Matcher(read_rules(rules) if rules else ())
    return (_check(matcher, number, line) for number, line in enumerate(lines, 1) if line.strip())


def read_rules(path: Path) -> list[Rule]:
    """Rules from a JSON file: a list, ``{"rules": [...]}``, ``{"packs": [{"rules": [...]}]}``, or one entry a line.

    An entry is a text, or an object with ``pattern`` and perhaps ``id``, ``enabled`` and ``kind`` (word or phrase).

    Raises:
        SetupError: the file or one of its entries cannot be used, and which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SetupError(f"The rules file {path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"The rules file {path.name} is not UTF-8 text.") from error
    entries = _entries(path.name, text)
    return [_rule(path.name, number, entry) for number, entry in enumerate(entries, 1) if _is_enabled(entry)]


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
    match = matcher.find(normalise(text))
    if match is None:
        return _answer(label, "allow")
    return _answer(label, "block", match.rule.id, f"The text has what rule {match.rule.id} forbids.")


def _answer(label: str | int | None, action: str, rule: str | None = None, reason: str | None = None) -> str:
    return json.dumps({"id": label, "action": action, "rule": rule, "reason": reason})


def _entries(name: str, text: str) -> list[Any]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return [_line(name, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(whole, dict):
        return _members(name, cast(dict[str, Any], whole))
    return cast(list[Any], whole) if isinstance(whole, list) else [whole]


def _line(name: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"The rules file {name} is not valid JSON in line {number}.") from error


def _members(name: str, whole: dict[str, Any]) -> list[Any]:
    if "pattern" in whole:
        return [whole]
    if whole.get("allow"):
        raise SetupError(f"The rules file {name} has an allow list, which is not understood here; take it out.")
    packs: Any = whole.get("packs", [whole])
    try:
        return [entry for pack in packs if _is_enabled(pack) for entry in list(pack["rules"])]
    except (KeyError, TypeError) as error:
        raise SetupError(f'The rules file {name} has no list of rules; write {{"rules": [...]}}.') from error


def _is_enabled(entry: Any) -> bool:
    return not isinstance(entry, dict) or cast(dict[str, Any], entry).get("enabled", True) is not False


def _rule(name: str, number: int, entry: Any) -> Rule:
    known: dict[str, Any] = {"pattern": entry} if isinstance(entry, str) else entry
    try:
        label, pattern, kind = known.get("id", number), known["pattern"], known.get("kind", "word")
    except (AttributeError, KeyError, TypeError) as error:
        raise SetupError(f"Entry {number} of the rules file {name} has no pattern.") from error
    where = f"Rule {label} of the rules file {name} cannot be used"
    if kind not in ("word", "phrase") or not isinstance(pattern, str):
        raise SetupError(f"{where}: only words and phrases are understood.")
    try:
        return Rule(str(label), tidy(pattern))
    except BadRule as error:
        raise SetupError(f"{where}. {error}") from error
