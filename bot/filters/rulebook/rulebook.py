"""Changes of a server's rules; each one is logged and can be undone."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import BadRule
from limner.bot.filters.costs import MOST_REGEXES, REGEXES
from limner.bot.filters.fair_thread import FairThread
from limner.bot.filters.rulebook import wordlists
from limner.bot.filters.rulebook.entries import Entry, read_entry
from limner.bot.filters.rulebook.files import Item
from limner.bot.filters.rulebook.own_roles import check_own_roles
from limner.bot.filters.rulebook.reads import RuleReads, read_rule
from limner.bot.filters.rulebook.rows import (
    KEPT,
    TABLE,
    batches,
    columns_of,
    counts_of,
    entry_from,
    entry_of,
    rows_by_id,
    state_of,
    unique_key,
)
from limner.bot.filters.rules import RuleKind
from limner.bot.guild_settings import Guilds
from limner.bot.quantities import decimal
from limner.bot.storage import audit_log
from limner.bot.storage.audit_log import State, changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import FilterChange, RuleRow
from limner.bot.translation import N_, _

T = TypeVar("T")

MOST = 20_000
"""Most rules of one server."""
BUILD_SECONDS = 0.05
"""How long work on a server's rules runs before other servers get their turn."""

TOO_MANY = N_("That file has more than {most} rules, and a server may have that many; leave some out.")
SAME = N_(
    "That rule exists already for the same place, as rule {id} (upper and lower case are the same); edit that one."
)
PICTURES = N_("Blocked pictures are taken back with /pictures allow, or blocked again with a message's menu.")
CHANGED = N_("Rule {id} was changed again since then; undo the newer change first.")


@dataclass(frozen=True)
class Import:
    """The result of an import: the numbers of new and of known entries, and the log entry."""

    added: int
    known: int
    change_id: int | None


class RuleBook(RuleReads, ABC):
    """The rules, allowed texts and packs of every server. ``by`` is the author of a change.

    Changes that exempt one of the ``bound`` roles raise NotModerator (see `check_own_roles`). Rules are tried and
    compared in a thread of their own, the servers in turn.
    """

    def __init__(self, database: Database, guilds: Guilds) -> None:
        super().__init__(database)
        self.builds = FairThread("filter-builds")
        self._guilds = guilds

    @abstractmethod
    async def check_costs(self, guild_id: int, entries: Sequence[Entry], without: int = 0) -> None:
        """Raise BadRule if new entries, beside the server's rules ``without`` one of them, would cost too much."""

    async def read(self, guild_id: int, text: str, name: str) -> list[Item]:
        """The entries of a file; raises BadRule like `wordlists.read`.

        At most as many as a server may have; regexes beyond `MOST_REGEXES` are not tried.
        """
        read = _Reader()
        items = await self.builds.run(guild_id, lambda: wordlists.read(text, name, read))
        return await self.by_some(guild_id, (item.merged() for item in _capped(items)))

    async def by_some(self, guild_id: int, work: Iterator[T]) -> list[T]:
        """All items of an iterator, in the builds thread, the servers in turn."""
        made: list[T] = []
        while some := await self.builds.run(guild_id, lambda: _some(work)):
            made += some
        return made

    async def add(self, guild_id: int, pattern: str, by: int, *, bound: Collection[int] = (), **more: Any) -> RuleRow:
        """Forbid (or allow) a text; ``more`` is the rest of an `Entry`. Raises BadRule if it exists."""
        return await self.put(guild_id, Entry(pattern=pattern, **more), by, bound=bound)

    async def put(self, guild_id: int, entry: Entry, by: int, *, bound: Collection[int] = ()) -> RuleRow:
        """Save a new rule; raises BadRule if it is not valid or exists."""
        entry = await self.builds.run(guild_id, entry.checked)
        check_own_roles(bound, None, (entry.is_allow, entry.scope))
        await self.check_costs(guild_id, [entry])
        async with changing(self.database, guild_id) as session:
            await _check_room(session, guild_id, 1)
            await _check_new(session, guild_id, entry)
            row = _row(guild_id, entry, by)
            session.add(row)
            await session.flush()
            await record(session, guild_id, by, "add", {}, state_of(row))
        self._guilds.forget(guild_id)
        return row

    async def put_all(self, guild_id: int, entries: Sequence[Entry], by: int, *, bound: Collection[int] = ()) -> Import:
        """Save many checked entries in one change, all or none; existing ones stay as they are."""
        for entry in entries:
            check_own_roles(bound, None, (entry.is_allow, entry.scope))
        await self.check_costs(guild_id, entries)
        rows = await self.by_some(guild_id, map(columns_of, entries))
        made = {"guild_id": guild_id, "created_by": by, "created_at": time.time()}
        fresh: dict[tuple[Any, ...], dict[str, Any]] = {}
        for columns in rows:
            fresh.setdefault(unique_key(columns), made | columns)
        async with changing(self.database, guild_id) as session:
            identity = select(RuleRow.is_allow, RuleRow.normal_form, RuleRow.scope_key).where(
                RuleRow.guild_id == guild_id
            )
            known = {tuple(one) for one in await session.execute(identity)}
            new = [values for key, values in fresh.items() if key not in known]
            await _check_room(session, guild_id, len(new))
            change = await record(session, guild_id, by, "import", {}, await _insert(session, new)) if new else None
        self._guilds.forget(guild_id)
        return Import(len(new), len(entries) - len(new), change.id if change else None)

    async def edit(
        self, guild_id: int, rule_id: int, by: int, what: str = "edit", *, bound: Collection[int] = (), **values: Any
    ) -> RuleRow:
        """Change fields of an `Entry`; raises BadRule if there is no such rule, or the result exists."""
        while True:
            before = await self.get(guild_id, rule_id)
            old = entry_of(before)
            entry = await self.builds.run(guild_id, replace(old, **values).checked)
            check_own_roles(bound, (old.is_allow, old.scope), (entry.is_allow, entry.scope))
            if entry.is_on and (entry.pattern, entry.kind, True) != (old.pattern, old.kind, old.is_on):
                await self.check_costs(guild_id, [entry], without=rule_id)
            async with changing(self.database, guild_id) as session:
                row = await read_rule(session, guild_id, rule_id)
                if (was := state_of(row)) != state_of(before):
                    continue  # it has changed meanwhile, so the change is applied to its new state
                await _check_new(session, guild_id, entry, but=rule_id)
                for name, value in columns_of(entry).items():
                    setattr(row, name, value)
                if state_of(row) != was:
                    await record(session, guild_id, by, what, was, state_of(row))
            self._guilds.forget(guild_id)
            return row

    async def exempt(
        self, guild_id: int, rule_id: int, by: int, *, channels: Sequence[int] = (), roles: Sequence[int] = ()
    ) -> RuleRow:
        """Exempt channels (or categories) and roles from a rule."""
        scope = entry_of(await self.get(guild_id, rule_id)).scope.exempting(channels=channels, roles=roles)
        return await self.edit(guild_id, rule_id, by, "exempt", scope=scope)

    async def remove(self, guild_id: int, rule_id: int, by: int) -> RuleRow:
        """Remove a rule; raises BadRule if there is none."""
        async with changing(self.database, guild_id) as session:
            row = await read_rule(session, guild_id, rule_id)
            await session.delete(row)
            await record(session, guild_id, by, "remove", state_of(row), {})
        self._guilds.forget(guild_id)
        return row

    async def undo(self, guild_id: int, change_id: int, by: int, *, bound: Collection[int] = ()) -> FilterChange:
        """Undo a change, as a change of its own; raises BadRule if a newer one changed the same."""
        change = await audit_log.get(self.database, guild_id, change_id)
        if "settings" in change.after:
            await self._guilds.take_back(change, by)
            return change
        if "pictures" in {**change.before, **change.after}:
            raise BadRule(_(PICTURES))
        before, after = rows_by_id(change.before), rows_by_id(change.after)
        for number, row in before.items():
            check_own_roles(bound, counts_of(after.get(number)), counts_of(row))
        await self.check_costs(guild_id, [*map(entry_from, before.values())], without=next(iter(after), 0))
        while not await self._take_back(change, by):
            pass  # something else has changed there meanwhile, so it is compared again
        self._guilds.forget(guild_id)
        return change

    async def _take_back(self, change: FilterChange, by: int) -> bool:
        """Compare first and write then, so that other writers do not wait for comparing thousands of rules.

        False if the server's rules or settings have changed in between; then nothing is written.
        """
        guild_id = change.guild_id
        async with self.database.read() as session:
            compared = await audit_log.revision(session, guild_id)
            await _check_unchanged(session, change)
        async with changing(self.database, guild_id) as session:
            if await audit_log.revision(session, guild_id) != compared:
                return False
            for ids in batches([*rows_by_id(change.after), *rows_by_id(change.before)]):
                await session.execute(delete(RuleRow).where(RuleRow.id.in_(ids)))
            if before := [*rows_by_id(change.before).values()]:
                await session.execute(insert(TABLE), [values | {"guild_id": guild_id} for values in before])
            await record(session, guild_id, by, "undo", change.after, change.before, change.id)
        return True


class _Reader:
    """Reads the entries of one file, at most `MOST_REGEXES` of them regexes."""

    def __init__(self) -> None:
        self._regexes = 0

    def __call__(self, whole: Any, *, is_allow: bool = False) -> Entry:
        if isinstance(whole, dict) and cast("dict[str, Any]", whole).get("kind") == RuleKind.REGEX:
            self._regexes += 1
            if self._regexes > MOST_REGEXES:
                raise BadRule(_(REGEXES, most=MOST_REGEXES))
        return read_entry(whole, is_allow=is_allow)


def _capped(items: Iterator[Item]) -> Iterator[Item]:
    rules = 0
    for item in items:
        rules += bool(item.entry or item.problem)
        if rules > MOST:
            raise BadRule(_(TOO_MANY, most=decimal(MOST)))
        yield item


def _some(work: Iterator[T]) -> list[T]:
    made, ends = list[T](), time.monotonic() + BUILD_SECONDS
    for one in work:
        made.append(one)
        if time.monotonic() > ends:
            break
    return made


def _row(guild_id: int, entry: Entry, by: int) -> RuleRow:
    return RuleRow(guild_id=guild_id, created_by=by, created_at=time.time(), **columns_of(entry))


async def _check_unchanged(session: AsyncSession, change: FilterChange) -> None:
    """Raise BadRule if a rule differs from the change's result, or another one equals its former state."""
    before, after = rows_by_id(change.before), rows_by_id(change.after)
    here = RuleRow.guild_id == change.guild_id
    now = {row["id"]: dict(row) for row in (await session.execute(select(*KEPT).where(here))).mappings()}
    for rule_id in before.keys() | after.keys():
        if now.pop(rule_id, None) != after.get(rule_id):
            raise BadRule(_(CHANGED, id=rule_id))
    others = {unique_key(row): rule_id for rule_id, row in now.items()}
    for row in before.values():
        if twin := others.get(unique_key(row)):
            raise BadRule(_(SAME, id=twin))


async def _insert(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> State:
    """Insert rows without fetching each id; returns their columns."""
    last = await session.scalar(select(func.max(RuleRow.id))) or 0
    await session.execute(insert(TABLE), list(rows))
    new = select(*KEPT).where(RuleRow.guild_id == rows[0]["guild_id"], RuleRow.id > last).order_by(RuleRow.id)
    return {"rules": [dict(row) for row in (await session.execute(new)).mappings()]}


async def _check_new(session: AsyncSession, guild_id: int, entry: Entry, but: int = 0) -> None:
    is_allow, form, key = unique_key(columns_of(entry))
    same = (
        RuleRow.guild_id == guild_id,
        RuleRow.is_allow == is_allow,
        RuleRow.normal_form == form,
        RuleRow.scope_key == key,
    )
    twin = await session.scalar(select(RuleRow).where(*same, RuleRow.id != but))
    if twin is not None:
        raise BadRule(_(SAME, id=twin.id))


async def _check_room(session: AsyncSession, guild_id: int, wanted: int) -> None:
    count = await session.scalar(select(func.count()).select_from(RuleRow).where(RuleRow.guild_id == guild_id)) or 0
    if count + wanted > MOST:
        raise BadRule(
            _(
                "A server may have at most {most} rules, and this one would have {number}; remove some.",
                most=MOST,
                number=count + wanted,
            )
        )
