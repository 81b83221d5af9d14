"""Retention: how long, and how many, refused requests and entries of the log of changes are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, delete, func, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm.attributes import InstrumentedAttribute
from sqlalchemy.sql.functions import FunctionElement

from limner.bot.reasons import FINAL, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import LATELY
from limner.bot.storage.history.history import GIVEN, History, references_of
from limner.bot.storage.tables.filter_tables import FilterChange
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review

LAST = 501
"""How many refusals of a member within `LATELY` are never removed: one more than one request is compared with."""
MOST_AT_ONCE = 5_000
"""Rows that one sweep removes; the next one goes on."""
BATCH = 500
"""Rows that one transaction removes."""
DELETED_TOGETHER = 100
"""Requests that one transaction deletes: each changes the index of words too."""
DAY = 86_400.0
NOTHING: Mapping[int, float] = MappingProxyType({})
_ROW = 500
"""Bytes of a row beside its long texts."""


@dataclass(frozen=True)
class Retention:
    """How long rows are kept, and how many bytes of them, for one member in one server and for one server."""

    days: float
    member_bytes: float
    server_bytes: float

    def is_over(self, at: ColumnElement[Any], member: ColumnElement[Any], server: ColumnElement[Any]) -> Any:
        """Whether a row of that time is beyond them, by the bytes of all newer ones."""
        return or_(at < time.time() - self.days * DAY, member > self.member_bytes, server > self.server_bytes)


class octets(FunctionElement[int]):
    """Bytes of a text or a JSON value; 0 for none."""

    inherit_cache = True
    name = "octets"
    type = Integer()


@compiles(octets, "sqlite")
def _sqlite_octets(element: octets, compiler: Any, **kw: Any) -> str:
    return f"coalesce(length(CAST({compiler.process(element.clauses, **kw)} AS BLOB)), 0)"


@compiles(octets)
def _octets(element: octets, compiler: Any, **kw: Any) -> str:
    return f"coalesce(octet_length(CAST({compiler.process(element.clauses, **kw)} AS TEXT)), 0)"


async def trim_requests(history: History, guild_id: int, days: float) -> int:
    """Delete a server's requests that are older than so many days, as their members would; tells how many.

    What moderators have yet to decide about keeps its words until then.
    """
    ended = (Job.guild_id == guild_id, Job.deleted_at.is_(None), Job.status.in_(FINAL))
    old = select(Job.id).where(*ended, Job.created_at < time.time() - days * DAY).order_by(Job.id).limit(MOST_AT_ONCE)
    async with history.database.read() as session:
        ids = (await session.scalars(old)).all()
    for first in range(0, len(ids), DELETED_TOGETHER):
        await history.delete_all(ids[first : first + DELETED_TOGETHER])
    return len(ids)


async def trim_refusals(history: History, limits: Retention, days: Mapping[int, float] = NOTHING) -> int:
    """Remove the oldest refused requests that are over the limits, with the pictures that they were to start from.

    ``days`` are the fewer days of the servers that have chosen some, by their ids.

    What a moderator has decided or has yet to decide about stays, and so do the last ones of a member within a day.
    Tells how many rows.
    """
    size = _size(Job.idea, Job.request, Job.prompt, Job.expansion, Job.notes, Job.search_text, Job.reason)
    mine, newest = (Job.user_id, Job.server_id), Job.id.desc()
    refused = (
        select(
            Job.id,
            Job.created_at,
            Job.server_id,
            _newer(size, mine, newest).label("member"),
            _newer(size, (Job.server_id,), newest).label("server"),
            func.row_number().over(partition_by=mine, order_by=newest).label("rank"),
        )
        .where(Job.status == JobStatus.REFUSED)
        .subquery()
    )
    row = refused.c
    is_needed = and_(row.rank <= LAST, row.created_at > time.time() - LATELY)
    can_go = select(Job.id).where(Job.id == row.id, *_removable()).exists()
    is_old = [(row.server_id == server) & (row.created_at < time.time() - most * DAY) for server, most in days.items()]
    is_over = or_(limits.is_over(row.created_at, row.member, row.server), *is_old)
    over = select(row.id).where(is_over, ~is_needed, can_go)
    async with history.database.read() as session:
        ids = list(await session.scalars(over.order_by(row.id).limit(MOST_AT_ONCE)))
    removed = 0
    for first in range(0, len(ids), BATCH):
        # A row with an appeal in progress is locked, and has a review at the next check.
        those = select(Job.id).where(Job.id.in_(ids[first : first + BATCH])).with_for_update()
        async with history.database.begin() as session:
            await session.execute(those)
            referred = await session.scalars(references_of(ids[first : first + BATCH]))
            gone = delete(Job).where(Job.id.in_(ids[first : first + BATCH]), *_removable())
            given = (await session.execute(gone.returning(*GIVEN))).all()
        removed += len(given)
        await history.drop_files({sha256 for sha256 in (*chain(*given), *referred) if sha256})
    return removed


def _removable() -> tuple[ColumnElement[bool], ...]:
    """Rows that no moderator has seen and that are not pending."""
    reviews = select(Review.id).where(Review.job_id == Job.id).exists()
    return Job.status == JobStatus.REFUSED, Job.delivered_at.is_not(None), ~reviews


def _size(*columns: InstrumentedAttribute[Any]) -> ColumnElement[int]:
    return sum((octets(column) for column in columns), start=literal(_ROW))


def _newer(size: ColumnElement[int], whose: Sequence[InstrumentedAttribute[Any]], newest: Any) -> ColumnElement[int]:
    """The bytes of a row and of all newer ones of the same ``whose``."""
    return func.sum(size).over(partition_by=whose, order_by=newest)


async def trim_changes(database: Database, limits: Retention) -> int:
    """Remove the oldest changes of rules and settings that are over the limits; what is kept can be undone.

    A server's newest change stays, however large it is. Tells how many rows.
    """
    size, newest = _size(FilterChange.before, FilterChange.after), FilterChange.id.desc()
    changes = select(
        FilterChange.id,
        FilterChange.at,
        _newer(size, (FilterChange.guild_id, FilterChange.by), newest).label("member"),
        _newer(size, (FilterChange.guild_id,), newest).label("server"),
        func.row_number().over(partition_by=FilterChange.guild_id, order_by=newest).label("rank"),
    ).subquery()
    row = changes.c
    over = select(row.id).where(limits.is_over(row.at, row.member, row.server), row.rank > 1)
    async with database.read() as session:
        ids = list(await session.scalars(over.order_by(row.id).limit(MOST_AT_ONCE)))
    for first in range(0, len(ids), BATCH):
        async with database.begin() as session:
            await session.execute(delete(FilterChange).where(FilterChange.id.in_(ids[first : first + BATCH])))
    return len(ids)
