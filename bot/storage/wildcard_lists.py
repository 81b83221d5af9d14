"""The lists for wildcards that moderators give to their servers; every change is logged and can be undone."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import BadPrompt, BadRule, NotFound
from limner.bot.storage.audit_log import changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import FilterChange, WildcardList
from limner.bot.translation import N_, _

PART = "wildcards"
"""The part of a change's state that holds lists: their lines by name, None for a list that was not there."""
MOST_LISTS = 50
FULL = N_("This server has {most} lists, which is the most; remove one with /lists remove.")
NOT_THERE = N_("There is no list {name} that a moderator of this server added; /lists show names them.")
CHANGED = N_("That list was changed again since then; undo the newer change first.")


class WildcardLists:
    """The rows of all servers' lists."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def names(self, guild_id: int) -> list[str]:
        """The names of a server's lists, in order."""
        async with self.database.read() as session:
            here = select(WildcardList.name).where(WildcardList.guild_id == guild_id).order_by(WildcardList.name)
            return [*await session.scalars(here)]

    async def lines(self, guild_id: int, names: Collection[str]) -> dict[str, list[str]]:
        """The lines of some of a server's lists, by name; names without a list are left out."""
        these = select(WildcardList).where(WildcardList.guild_id == guild_id, WildcardList.name.in_(names))
        async with self.database.read() as session:
            return {row.name: row.lines.split("\n") for row in await session.scalars(these)}

    async def put(self, guild_id: int, name: str, lines: Collection[str], by: int) -> FilterChange:
        """Store a list, in place of one of the same name; raises BadPrompt if there are too many."""
        async with changing(self.database, guild_id) as session:
            before = await _now(session, guild_id, name)
            here = select(func.count()).select_from(WildcardList).where(WildcardList.guild_id == guild_id)
            if before is None and (await session.scalar(here) or 0) >= MOST_LISTS:
                raise BadPrompt(_(FULL, most=MOST_LISTS))
            return await _change(session, guild_id, by, "list", name, before, "\n".join(lines))

    async def remove(self, guild_id: int, name: str, by: int) -> FilterChange:
        """Remove a list; raises NotFound if there is none of that name."""
        async with changing(self.database, guild_id) as session:
            before = await _now(session, guild_id, name)
            if before is None:
                raise NotFound(_(NOT_THERE, name=name))
            return await _change(session, guild_id, by, "unlist", name, before, None)

    async def take_back(self, change: FilterChange, by: int) -> FilterChange:
        """Undo a change of a list, as a change of its own; raises BadRule if a newer one changed the same."""
        [(name, after)] = change.after[PART].items()
        async with changing(self.database, change.guild_id) as session:
            if await _now(session, change.guild_id, name) != after:
                raise BadRule(_(CHANGED))
            before = change.before[PART][name]
            return await _change(session, change.guild_id, by, "undo", name, after, before, change.id)


async def _now(session: AsyncSession, guild_id: int, name: str) -> str | None:
    row = await session.get(WildcardList, (guild_id, name))
    return row.lines if row else None


async def _change(
    session: AsyncSession,
    guild_id: int,
    by: int,
    what: str,
    name: str,
    before: str | None,
    after: str | None,
    undoes: int | None = None,
) -> FilterChange:
    """Write a list's lines (None removes it), and log it."""
    row = await session.get(WildcardList, (guild_id, name))
    if row and after is not None:
        row.lines = after
    elif row:
        await session.delete(row)
    elif after is not None:
        session.add(WildcardList(guild_id=guild_id, name=name, lines=after))
    return await record(session, guild_id, by, what, {PART: {name: before}}, {PART: {name: after}}, undoes)
