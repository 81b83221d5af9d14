"""RuleBook: a server's rules as rows; every change of them is in the log and can be undone."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot import changes
from bot.changes import State, changing, record
from bot.db import Database
from bot.errors import BadRule
from bot.filters.entries import Entry
from bot.filters.place import Scope
from bot.filters.rules import Action, normal_form
from bot.guilds import Guilds
from bot.models import FilterChange
from bot.models import Rule as Row

PAGE = 20
"""Rules on one page of the list."""
CHOICES = 25
"""Suggestions that Discord shows while somebody types."""
MOST = 20_000
"""Rules that one server may have."""
BATCH = 500
"""Rules that one statement writes."""

GONE = "There is no such rule here; /filter list shows all of them."
SAME = "That rule exists already for the same place, as rule {id} (upper and lower case are the same); edit that one."
PICTURES = "Blocked pictures are taken back with /pictures allow, or blocked again with a message's menu."
CHANGED = "Rule {id} was changed again since then; undo the newer change first."


@dataclass(frozen=True)
class Page:
    """Some of a server's rules, oldest first; ``number`` counts from 1."""

    rules: Sequence[Row]
    number: int
    pages: int
    total: int


@dataclass(frozen=True)
class Import:
    """What came of many entries at once: how many are new, how many were there, and the log's number."""

    added: int
    known: int
    change_id: int | None


class RuleBook:
    """The rules, allowed texts and packs of every server. Whoever changes something is ``by``."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self.database = database
        self._guilds = guilds

    async def add(self, guild_id: int, pattern: str, by: int, **more: Any) -> Row:
        """Forbid (or allow) a text; ``more`` is the rest of an `Entry`. Raises BadRule if it is one already."""
        return await self.put(guild_id, Entry(pattern=pattern, **more), by)

    async def put(self, guild_id: int, entry: Entry, by: int, what: str = "add") -> Row:
        """Write a new rule; raises BadRule if it cannot be one, or is one already."""
        entry = entry.checked()
        async with changing(self.database, guild_id) as session:
            await _check_room(session, guild_id, 1)
            await _check_new(session, guild_id, entry)
            row = _row(guild_id, entry, by)
            session.add(row)
            await session.flush()
            await record(session, guild_id, by, what, {}, _state(row))
        self._guilds.forget(guild_id)
        return row

    async def put_all(self, guild_id: int, entries: Sequence[Entry], by: int) -> Import:
        """Write many checked entries in one change, all of them or none; those that are there are left as they are."""
        made = {"guild_id": guild_id, "created_by": by, "created_at": time.time()}
        fresh: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry in entries:
            fresh.setdefault(_identity(entry), made | _columns(entry))
        async with changing(self.database, guild_id) as session:
            identity = select(Row.is_allow, Row.normal_form, Row.scope_key).where(Row.guild_id == guild_id)
            known = {tuple(one) for one in await session.execute(identity)}
            new = [values for key, values in fresh.items() if key not in known]
            await _check_room(session, guild_id, len(new))
            change = await record(session, guild_id, by, "import", {}, await _insert(session, new)) if new else None
        self._guilds.forget(guild_id)
        return Import(len(new), len(entries) - len(new), change.id if change else None)

    async def edit(self, guild_id: int, rule_id: int, by: int, what: str = "edit", **values: Any) -> Row:
        """Change some fields of an `Entry`; raises BadRule if there is no such rule, or another is the same then."""
        async with changing(self.database, guild_id) as session:
            row = await _get(session, guild_id, rule_id)
            before, entry = _state(row), replace(entry_of(row), **values).checked()
            if _identity(entry) != _identity(entry_of(row)):
                await _check_new(session, guild_id, entry)
            for name, value in _columns(entry).items():
                setattr(row, name, value)
            if _state(row) != before:
                await record(session, guild_id, by, what, before, _state(row))
        self._guilds.forget(guild_id)
        return row

    async def exempt(
        self, guild_id: int, rule_id: int, by: int, *, channels: Sequence[int] = (), roles: Sequence[int] = ()
    ) -> Row:
        """Free some channels (or categories) and roles from a rule."""
        scope = entry_of(await self.get(guild_id, rule_id)).scope.exempting(channels=channels, roles=roles)
        return await self.edit(guild_id, rule_id, by, "exempt", scope=scope)

    async def remove(self, guild_id: int, rule_id: int, by: int) -> Row:
        """Take a rule away; raises BadRule if there is no such rule."""
        async with changing(self.database, guild_id) as session:
            row = await _get(session, guild_id, rule_id)
            await session.delete(row)
            await record(session, guild_id, by, "remove", _state(row), {})
        self._guilds.forget(guild_id)
        return row

    async def undo(self, guild_id: int, change_id: int, by: int) -> FilterChange:
        """Take one change back, which is a change itself; raises BadRule if newer ones changed the same again."""
        change = await changes.get(self.database, guild_id, change_id)
        if "settings" in change.after:
            await self._guilds.take_back(change, by)
            return change
        if "pictures" in {**change.before, **change.after}:
            raise BadRule(PICTURES)
        async with changing(self.database, guild_id) as session:
            after = {row["id"]: row for row in change.after.get("rules", [])}
            before = {row["id"]: row for row in change.before.get("rules", [])}
            now = {row.id: row for row in await _rows(session, guild_id, [*after, *before])}
            for rule_id in after.keys() | before.keys():
                is_now = _state(now[rule_id])["rules"][0] if rule_id in now else None
                if is_now != after.get(rule_id):
                    raise BadRule(CHANGED.format(id=rule_id))
            gone = sorted(after.keys() - before.keys())
            for start in range(0, len(gone), BATCH):
                await session.execute(delete(Row).where(Row.id.in_(gone[start : start + BATCH])))
            for values in before.values():
                restored = _restored(guild_id, values)
                await _check_new(session, guild_id, entry_of(restored), but=restored.id)
                await session.merge(restored)
            await record(session, guild_id, by, "undo", change.after, change.before, change.id)
        self._guilds.forget(guild_id)
        return change

    async def get(self, guild_id: int, rule_id: int) -> Row:
        """One rule of this server; raises BadRule if there is none."""
        async with self.database.read() as session:
            return await _get(session, guild_id, rule_id)

    async def of(self, guild_id: int, ids: Collection[int]) -> Sequence[Row]:
        """Those of the rules that are this server's own and still there."""
        async with self.database.read() as session:
            return await _rows(session, guild_id, ids)

    async def all(self, guild_id: int) -> Sequence[Row]:
        """Every rule of a server, oldest first."""
        async with self.database.read() as session:
            return (await session.scalars(select(Row).where(Row.guild_id == guild_id).order_by(Row.id))).all()

    async def page(self, guild_id: int, number: int = 1, search: str = "") -> Page:
        """One page of a server's rules (that contain ``search``); a number past the end gives the last page."""
        here = _found(guild_id, search)
        async with self.database.read() as session:
            total = await session.scalar(select(func.count()).select_from(Row).where(*here)) or 0
            pages = max(1, -(-total // PAGE))
            number = min(number, pages)
            some = select(Row).where(*here).order_by(Row.id).limit(PAGE).offset((number - 1) * PAGE)
            return Page((await session.scalars(some)).all(), number, pages, total)

    async def search(self, guild_id: int, typed: str) -> Sequence[Row]:
        """A server's rules that contain what is typed, those that begin with it first."""
        begins = Row.normal_form.startswith(normal_form(typed), autoescape=True)
        some = select(Row).where(*_found(guild_id, typed)).order_by(begins.desc(), Row.normal_form).limit(CHOICES)
        async with self.database.read() as session:
            return (await session.scalars(some)).all()

    async def twins(self, row: Row) -> Sequence[Row]:
        """Other rules and allowed texts of the same server with the same text."""
        same = (Row.guild_id == row.guild_id, Row.normal_form == row.normal_form, Row.id != row.id)
        async with self.database.read() as session:
            return (await session.scalars(select(Row).where(*same).order_by(Row.id))).all()


def entry_of(row: Row) -> Entry:
    """What a row says, as an entry."""
    return Entry(
        pattern=row.pattern,
        kind=row.kind,
        is_allow=row.is_allow,
        action=Action(row.action),
        reason=row.reason,
        replacement=row.replacement,
        scope=Scope.from_json(row.scope),
        is_on=row.is_on,
        expires_at=row.expires_at,
    )


def _row(guild_id: int, entry: Entry, by: int) -> Row:
    return Row(guild_id=guild_id, created_by=by, created_at=time.time(), **_columns(entry))


def _columns(entry: Entry) -> dict[str, Any]:
    return {
        "kind": str(entry.kind),
        "pattern": entry.pattern,
        "normal_form": entry.normal_form,
        "is_allow": entry.is_allow,
        "action": str(entry.action),
        "reason": entry.reason,
        "replacement": entry.replacement,
        "scope": entry.scope.to_json(),
        "scope_key": entry.scope.key,
        "is_on": entry.is_on,
        "expires_at": entry.expires_at,
    }


def _identity(entry: Entry) -> tuple[bool, str, str]:
    """The same for entries of which a server can have one."""
    return entry.is_allow, entry.normal_form, entry.scope.key


def _state(*rows: Row) -> State:
    """Rows as the log keeps them."""
    own = ("id", "created_by", "created_at")
    return {"rules": [{name: getattr(row, name) for name in own} | _columns(entry_of(row)) for row in rows]}


def _restored(guild_id: int, values: Mapping[str, Any]) -> Row:
    """A row as the log has kept it, with its number."""
    row = Row(guild_id=guild_id, **{name: value for name, value in values.items() if name != "id"})
    row.id = values["id"]
    return row


def _found(guild_id: int, search: str) -> tuple[ColumnElement[bool], ...]:
    here = Row.guild_id == guild_id
    return (here, Row.normal_form.contains(normal_form(search), autoescape=True)) if search else (here,)


async def _get(session: AsyncSession, guild_id: int, rule_id: int) -> Row:
    row = await session.get(Row, rule_id)
    if row is None or row.guild_id != guild_id:
        raise BadRule(GONE)
    return row


async def _rows(session: AsyncSession, guild_id: int, ids: Collection[int]) -> list[Row]:
    found: list[Row] = []
    for start in range(0, len(ids), BATCH):
        some = select(Row).where(Row.guild_id == guild_id, Row.id.in_(list(ids)[start : start + BATCH]))
        found += await session.scalars(some)
    return found


async def _insert(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> State:
    """Write new rows without waiting for each one's number; how they are then."""
    last = await session.scalar(select(func.max(Row.id))) or 0
    await session.execute(insert(Row.metadata.tables["rules"]), list(rows))
    found = select(Row.normal_form, Row.is_allow, Row.scope_key, Row.id)
    numbers = {
        (form, is_allow, key): number
        for form, is_allow, key, number in await session.execute(
            found.where(Row.guild_id == rows[0]["guild_id"], Row.id > last)
        )
    }
    keys = ("normal_form", "is_allow", "scope_key")
    states = [row | {"id": numbers[tuple(row[key] for key in keys)]} for row in rows]
    return {"rules": [{name: value for name, value in row.items() if name != "guild_id"} for row in states]}


async def _check_new(session: AsyncSession, guild_id: int, entry: Entry, but: int | None = None) -> None:
    is_allow, form, key = _identity(entry)
    same = (Row.guild_id == guild_id, Row.is_allow == is_allow, Row.normal_form == form, Row.scope_key == key)
    twin = await session.scalar(select(Row).where(*same, Row.id != (but or 0)))
    if twin is not None:
        raise BadRule(SAME.format(id=twin.id))


async def _check_room(session: AsyncSession, guild_id: int, wanted: int) -> None:
    count = await session.scalar(select(func.count()).select_from(Row).where(Row.guild_id == guild_id)) or 0
    if count + wanted > MOST:
        raise BadRule(f"A server may have at most {MOST} rules, and this one would have {count + wanted}; remove some.")
