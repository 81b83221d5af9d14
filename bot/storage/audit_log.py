"""The audit log of moderators' changes (author, time, state before and after), and the revision that processes poll."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import NotFound
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import FilterChange, GuildSettingsRow
from limner.bot.translation import _

log = logging.getLogger(__name__)

PAGE = 10
"""Changes on one page of the log."""

State = Mapping[str, Any]
"""The changed parts of a server, ``{"rules": [rows], "settings": {...}}``, at one moment."""


@dataclass(frozen=True)
class ChangePage:
    """Some of a server's changes, newest first; ``number`` counts from 1."""

    changes: Sequence[FilterChange]
    number: int
    pages: int


@asynccontextmanager
async def changing(database: Database, guild_id: int) -> AsyncGenerator[AsyncSession]:
    """A transaction that locks this server's rules and settings; it commits together with `record`."""
    async with database.begin() as session:
        await database.lock(session, f"limner.rules.{guild_id}")
        yield session


async def record(
    session: AsyncSession, guild_id: int, by: int, what: str, before: State, after: State, undoes: int | None = None
) -> FilterChange:
    """Add a change to the log in the transaction that makes it, and raise the revision."""
    now = time.time()
    change = FilterChange(
        guild_id=guild_id, at=now, by=by, what=what, before=dict(before), after=dict(after), undoes=undoes
    )
    session.add(change)
    row = await session.get(GuildSettingsRow, guild_id)
    if row is None:
        row = GuildSettingsRow(guild_id=guild_id, changed_at=now, changed_by=by)
        session.add(row)
    row.revision, row.changed_at, row.changed_by = row.revision + 1, now, by
    await session.flush()
    log.info("filter_changed change=%s what=%s guild=%s", change.id, what, guild_id)
    return change


async def revision(session: AsyncSession, guild_id: int) -> int:
    """The number of changes to a server's rules and settings so far."""
    found = select(GuildSettingsRow.revision).where(GuildSettingsRow.guild_id == guild_id)
    return await session.scalar(found) or 0


async def page(database: Database, guild_id: int, number: int = 1) -> ChangePage:
    """One page of a server's log; a number past the end gives the last page."""
    here = FilterChange.guild_id == guild_id
    async with database.read() as session:
        total = await session.scalar(select(func.count()).select_from(FilterChange).where(here)) or 0
        pages = max(1, -(-total // PAGE))
        number = min(number, pages)
        some = select(FilterChange).where(here).order_by(FilterChange.id.desc())
        found = (await session.scalars(some.limit(PAGE).offset((number - 1) * PAGE))).all()
    return ChangePage(found, number, pages)


async def get(database: Database, guild_id: int, change_id: int) -> FilterChange:
    """One change of this server; raises NotFound."""
    async with database.read() as session:
        change = await session.get(FilterChange, change_id)
    if change is None or change.guild_id != guild_id:
        raise NotFound(_("There is no such change in this server; /filter log shows all of them."))
    return change
