"""The servers that the bot is in, and the removal of what is stored about those that it has left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from sqlalchemy import delete, select, update

from limner.bot.storage import member_data
from limner.bot.storage.db import Database
from limner.bot.storage.history.history import History
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.storage.tables.schema import SCHEMA
from limner.bot.storage.tables.server_tables import KnownServer

log = logging.getLogger(__name__)

DAY = 86_400.0
BATCH = 100
"""Requests that are removed together."""
MOST_AT_ONCE = 5_000
"""Requests that one sweep removes; the next one goes on."""


class Servers:
    """Servers as rows. Those that members brought the bot along to, without inviting it, have none."""

    def __init__(self, database: Database, history: History) -> None:
        self.database = database
        self._history = history

    async def compare(self, present: Collection[int], is_seen: Callable[[int], bool] = lambda _: True) -> None:
        """Record that the bot is in these servers, and in no other one of those that this process would see."""
        async with self.database.begin() as session:
            await self.database.lock(session, "limner.servers")
            known = {row.guild_id: row for row in await session.scalars(select(KnownServer))}
            for guild_id, row in known.items():
                if guild_id in present:
                    row.left_at = None
                elif is_seen(guild_id) and row.left_at is None:
                    row.left_at = time.time()
            session.add_all(KnownServer(guild_id=guild_id) for guild_id in {*present} - known.keys())

    async def join(self, guild_id: int) -> None:
        """Record that the bot is in a server; what is stored about it stays."""
        await self._write(guild_id, None)

    async def leave(self, guild_id: int) -> None:
        """Record that the bot has left a server."""
        await self._write(guild_id, time.time())
        log.info("server_left guild=%s", guild_id)

    async def _write(self, guild_id: int, left_at: float | None) -> None:
        async with self.database.begin() as session:
            await self.database.lock(session, "limner.servers")
            known = await session.get(KnownServer, guild_id)
            if known is None:
                session.add(KnownServer(guild_id=guild_id, left_at=left_at))
            else:
                known.left_at = left_at

    async def purge(self, days: float) -> int:
        """Remove what is stored about servers that the bot left so many days ago; returns the number of requests.

        What members asked for there after that, without the bot in the server, stays.
        """
        due = select(KnownServer).where(KnownServer.left_at < time.time() - days * DAY)
        async with self.database.read() as session:
            servers = (await session.scalars(due)).all()
        removed = 0
        for server in servers:
            removed += await self._purge_one(server, MOST_AT_ONCE - removed)
        return removed

    async def _purge_one(self, server: KnownServer, most: int) -> int:
        old = (Job.guild_id == server.guild_id, Job.created_at < server.left_at)
        removed = 0
        while removed < most:
            async with self.database.read() as session:
                ids = (await session.scalars(select(Job.id).where(*old).order_by(Job.id).limit(BATCH))).all()
            if not ids:
                await self._forget(server.guild_id)
                break
            if not (gone := await self._remove(ids)):
                break  # the filter compares with the last ones for a day
            removed += gone
        return removed

    async def _remove(self, ids: Collection[int]) -> int:
        """Remove requests with their files, whatever moderators have yet to decide about them."""
        async with self.database.begin() as session:
            await session.execute(delete(Review).where(Review.job_id.in_(ids)))
            await session.execute(update(Job).where(Job.id.in_(ids)).values(quarantine=None))
        await self._history.delete_all([*ids])
        async with self.database.begin() as session:
            gone = delete(Job).where(Job.id.in_(ids), Job.erased_at.is_not(None)).returning(Job.id)
            return len((await session.scalars(gone)).all())

    async def _forget(self, guild_id: int) -> None:
        """Remove a server's rules, settings, strikes and all else that names it."""
        kept = {Job.__table__, *member_data.of_requests()}
        async with self.database.begin() as session:
            for table in (table for table in reversed(SCHEMA.sorted_tables) if table not in kept):
                for column in (table.c[name] for name in ("guild_id", "server_id") if name in table.c):
                    await session.execute(delete(table).where(column == guild_id))
        log.info("server_purged guild=%s", guild_id)
