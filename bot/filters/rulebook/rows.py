"""Rules as rows: their columns, their entries, and how the log keeps them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.rulebook.own_roles import Counts
from limner.bot.filters.rules import RuleAction
from limner.bot.filters.scopes import Scope
from limner.bot.storage.audit_log import State
from limner.bot.storage.tables.filter_tables import RuleRow

BATCH = 500
"""Most rules in one statement."""
TABLE = RuleRow.metadata.tables["rules"]
KEPT = [column for column in TABLE.columns if column.key != "guild_id"]
"""Columns of a rule in the log."""
_SAID = ("pattern", "kind", "is_allow", "is_strict", "reason", "replacement", "is_on", "expires_at")
"""Columns that an entry has too."""
EFFECTIVE = [TABLE.columns[name] for name in ("id", "action", "scope", *_SAID)]
"""Columns that decide what a rule does."""


def entry_of(row: RuleRow) -> Entry:
    """A row as an entry."""
    return entry_from({name: getattr(row, name) for name in (*_SAID, "action", "scope")})


def entry_from(values: Mapping[str, Any]) -> Entry:
    """Columns of a row, by name, as an entry."""
    known = {name: values[name] for name in _SAID}
    return Entry(action=RuleAction(values["action"]), scope=Scope.from_json(values["scope"]), **known)


def columns_of(entry: Entry) -> dict[str, Any]:
    """The columns of an entry."""
    return {
        "kind": str(entry.kind),
        "pattern": entry.pattern,
        "normal_form": entry.normal_form,
        "is_allow": entry.is_allow,
        "is_strict": entry.is_strict,
        "action": str(entry.action),
        "reason": entry.reason,
        "replacement": entry.replacement,
        "scope": entry.scope.to_json(),
        "scope_key": entry.scope.key,
        "is_on": entry.is_on,
        "expires_at": entry.expires_at,
    }


def unique_key(columns: Mapping[str, Any]) -> tuple[bool, str, str]:
    """The columns that must be unique in a server."""
    return columns["is_allow"], columns["normal_form"], columns["scope_key"]


def state_of(*rows: RuleRow) -> State:
    """Rows in the form of the log."""
    return {"rules": [{column.key: getattr(row, column.key) for column in KEPT} for row in rows]}


def rows_by_id(state: State) -> dict[int, dict[str, Any]]:
    """The rows of a log entry by id, older formats included."""
    return {row["id"]: {"is_strict": False, **row} for row in state.get("rules", [])}


def counts_of(row: Mapping[str, Any] | None) -> Counts | None:
    """The scope of a row in the log."""
    return (row["is_allow"], Scope.from_json(row["scope"])) if row else None


def batches(ids: Collection[int]) -> Iterator[list[int]]:
    """Ids in groups of which each fits into one statement."""
    every = [*dict.fromkeys(ids)]
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))
