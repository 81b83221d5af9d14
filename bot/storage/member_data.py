"""Where something of a member is kept: every table, what erasing the member does there, and what the member may read.

A table with a ``user_id`` is a member's own and is emptied of the member's rows, unless it is one of `SPECIAL`; a table
whose rows belong to a request loses them with it. What a member did as a moderator stays with the server,
without the id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Select,
    String,
    Table,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy import cast as as_type
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.storage.tables.filter_tables import FilterChange
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Ban, Strike, Suspension
from limner.bot.storage.tables.schema import SCHEMA

USER, FILE = "user_id", "sha256"
"""The column of a member's id, and the end of the name of a column that names a picture file."""
SPECIAL = ("jobs", "reviews", "strikes", "suspensions", "bans", "erasures")
"""Tables with a member's id whose rows moderators may need for a while, or that go with others."""
ACTORS = {
    "rules": ("created_by",),
    "guild_settings": ("changed_by",),
    "filter_changes": ("by",),
    "blocked_pictures": ("created_by",),
    "reviews": ("decided_by",),
    "strikes": ("given_by", "removed_by"),
    "bans": ("given_by", "lifted_by"),
}
"""Columns with the id of the moderator who made a change or decision."""
NOBODYS = (
    *("gallery_posts", "input_pictures", "shares", "workers", "servers", "synced_commands", "wildcard_lists"),
    *("encryption_keys", "floor_channels"),
)
"""Tables without anything of one member; a picture's row goes with its file."""
SECRETS = ("token", "trained_in", "installed", "blocked_by")
"""Columns with which others could write in the bot's name, with paths of the operator's machine, and for moderators."""
AS_MODERATOR = "_as_moderator"
"""The end of the name of a section about what a member did as a moderator."""
ERASED = 1
"""The id in place of an erased moderator, which Discord gives no account and shows as an unknown user."""


@dataclass(frozen=True)
class Section:
    """A member's rows of a table, with the columns that the member may read."""

    name: str
    table: Table
    mine: ColumnElement[bool]
    columns: tuple[Column[Any], ...]

    def key(self, row: Mapping[str, Any]) -> list[Any]:
        """The primary key of a row."""
        return [row[column.name] for column in self.table.primary_key]

    def rows(self, after: Sequence[Any] | None, most: int) -> Select[Any]:
        """The next rows after one of them, given by its primary key."""
        keys = [*self.table.primary_key]
        found = select(*self.columns).where(self.mine).order_by(*keys).limit(most)
        if after is None:
            return found
        last = (literal(value, column.type) for value, column in zip(after, keys, strict=True))
        return found.where(tuple_(*keys) > tuple_(*last))


def sections(user_id: int) -> list[Section]:
    """Everything that is stored about a member."""
    found: list[Section] = []
    for table in SCHEMA.sorted_tables:
        actors = [table.c[name] for name in ACTORS.get(table.name, ())]
        columns = tuple(column for column in table.c if column not in actors and column.name not in SECRETS)
        if conditions := [*_of_member(table, user_id)]:
            found.append(Section(table.name, table, or_(*conditions), columns))
        if actors:
            # Other columns hold what others wrote or did.
            when = tuple(column for column in columns if column.primary_key or isinstance(column.type, Double))
            did = or_(*(column == user_id for column in actors))
            found.append(Section(f"{table.name}{AS_MODERATOR}", table, did, when))
    return found


def own_tables() -> list[Table]:
    """The tables whose rows are a member's own and are needed by nobody else."""
    return [table for table in SCHEMA.sorted_tables if USER in table.c and table.name not in SPECIAL]


def of_requests() -> list[Table]:
    """The tables whose rows go with their request."""
    return [table for table in SCHEMA.sorted_tables if any(map(_is_of_request, table.c)) and table.name not in SPECIAL]


async def counted(session: AsyncSession, user_id: int) -> dict[str, int]:
    """How many rows each table holds of a member, by its name; without those that hold none."""
    tables = [*own_tables(), *(SCHEMA.tables[name] for name in ("reviews", "strikes", "suspensions", "bans"))]
    found: dict[str, int] = {}
    for table in tables:
        rows = select(func.count()).select_from(table).where(table.c[USER] == user_id)
        found[table.name] = await session.scalar(rows) or 0
    return {name: number for name, number in found.items() if number}


async def erase_own(session: AsyncSession, user_id: int) -> set[str]:
    """Delete a member's own rows; returns the hashes of the picture files that they named."""
    hashes: set[str] = set()
    for table in own_tables():
        mine = table.c[USER] == user_id
        for names in _files_of(table, mine):
            hashes |= {sha256 for sha256 in chain(*(await session.execute(names)).all()) if sha256}
        await session.execute(delete(table).where(mine))
    return hashes


async def erase_actor(session: AsyncSession, user_id: int) -> None:
    """Take a member's id from what the member did as a moderator."""
    for name, columns in ACTORS.items():
        for column in (SCHEMA.tables[name].c[one] for one in columns):
            await session.execute(update(column.table).where(column == user_id).values({column: ERASED}))
    states = (FilterChange.before, FilterChange.after)
    named = or_(*(as_type(state, String).contains(str(user_id)) for state in states))
    for change in await session.scalars(select(FilterChange).where(named)):
        change.before, change.after = (_without(state, user_id) for state in (change.before, change.after))


async def erase_old_strikes(session: AsyncSession, user_id: int, before: float) -> None:
    """Delete a member's strikes and bans from before a time which count no more, and the suspensions with strikes."""
    now = time.time()
    ended = or_(Ban.lifted_at.is_not(None), Ban.until <= now)
    await session.execute(delete(Ban).where(Ban.user_id == user_id, Ban.created_at < before, ended))
    suspends = select(Suspension.id).where(
        Suspension.strike_id == Strike.id, Suspension.lifted_at.is_(None), Suspension.until > now
    )
    is_over = or_(Strike.removed_at.is_not(None), Strike.expires_at <= now)
    mine = (Strike.user_id == user_id, Strike.created_at < before)
    await session.execute(delete(Strike).where(*mine, is_over, ~suspends.exists()))


async def erase_reduced(session: AsyncSession, user_id: int, before: float) -> None:
    """Delete the rows of a member's requests from before a time whose words are erased, with their reviews."""
    mine: tuple[ColumnElement[bool], ...] = (Job.user_id == user_id, Job.created_at < before)
    await session.execute(delete(Job).where(*mine, Job.erased_at.is_not(None)))


async def deleted_left(session: AsyncSession, user_id: int, before: float) -> int:
    """How many deleted requests of a member from before a time still have a row."""
    mine = (Job.user_id == user_id, Job.created_at < before, Job.deleted_at.is_not(None))
    return await session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0


async def bans_left(session: AsyncSession, user_id: int, before: float) -> int:
    """How many bans of a member from before a time are left."""
    mine = (Ban.user_id == user_id, Ban.created_at < before)
    return await session.scalar(select(func.count()).select_from(Ban).where(*mine)) or 0


async def strikes_left(session: AsyncSession, user_id: int, before: float) -> tuple[int, float]:
    """How many strikes of a member from before a time are left, and when the last one expires (0: there is none)."""
    mine = (Strike.user_id == user_id, Strike.created_at < before)
    row = (await session.execute(select(func.count(), func.max(Strike.expires_at)).where(*mine))).one()
    return row[0], row[1] or 0.0


def _of_member(table: Table, user_id: int) -> Iterator[ColumnElement[bool]]:
    """Conditions, of which a member's rows of a table fulfil one: by the member's id, or by what they belong to."""
    if USER in table.c:
        yield table.c[USER] == user_id
        return
    owners = {Job.__table__, *own_tables()}
    for key in (key for key in table.foreign_keys if key.column.table in owners and key.ondelete == "CASCADE"):
        yield key.parent.in_(select(key.column).where(key.column.table.c[USER] == user_id))


def _files_of(table: Table, mine: ColumnElement[bool]) -> Iterator[Select[Any]]:
    """What names picture files in some rows of a table, and in the rows that go with them."""
    if files := [column for column in table.c if column.name.endswith(FILE)]:
        yield select(*files).where(mine)
    for other in SCHEMA.sorted_tables:
        for key in (key for key in other.foreign_keys if key.column.table is table):
            if files := [column for column in other.c if column.name.endswith(FILE)]:
                yield select(*files).where(key.parent.in_(select(key.column).where(mine)))


def _is_of_request(column: Column[Any]) -> bool:
    return any(key.column is Job.__table__.c.id and key.ondelete == "CASCADE" for key in column.foreign_keys)


def _without(state: dict[str, Any], user_id: int) -> dict[str, Any]:
    """A state of rules and settings that does not say that this member made them."""
    return cast(
        "dict[str, Any]", json.loads(json.dumps(state), object_pairs_hook=lambda pairs: dict(_named(pairs, user_id)))
    )


def _named(pairs: list[tuple[str, Any]], user_id: int) -> Iterator[tuple[str, Any]]:
    for name, value in pairs:
        yield name, ERASED if name in ("created_by", "changed_by") and value == user_id else value
