"""Blocked pictures: each server's list and the operator's, matched by perceptual hash."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from limner.bot.errors import NotFound
from limner.bot.guild_settings import EVERYWHERE, Guilds
from limner.bot.storage.audit_log import changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.perceptual_hash import distance
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.translation import _

PAGE = 10
"""Pictures on one page of the list."""


@dataclass(frozen=True)
class BlockedPage:
    """Some of a server's blocked pictures, newest first; ``number`` counts from 1."""

    pictures: Sequence[BlockedPicture]
    number: int
    pages: int
    total: int


@dataclass(frozen=True)
class _Known:
    revision: int
    hashes: tuple[str, ...]


class BlockedPictures:
    """The lists of blocked pictures; a change counts at once in its process, within a second elsewhere."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self.database = database
        self._guilds = guilds
        self._known: dict[int, _Known] = {}

    async def block(self, guild_id: int, phash: str, by: int, job_id: int | None = None) -> BlockedPicture:
        """Block pictures like this one in a server (0: everywhere); returns the existing row if there is one."""
        same = select(BlockedPicture).where(BlockedPicture.guild_id == guild_id, BlockedPicture.phash == phash)
        async with changing(self.database, guild_id) as session:
            if found := await session.scalar(same):
                return found
            row = BlockedPicture(guild_id=guild_id, phash=phash, job_id=job_id, created_by=by, created_at=time.time())
            session.add(row)
            await session.flush()
            await record(session, guild_id, by, "block", {}, {"pictures": [_state(row)]})
        self._guilds.forget(guild_id)
        return row

    async def allow(self, guild_id: int, number: int, by: int) -> None:
        """Remove a picture from a server's list; raises NotFound if it is not on it."""
        async with changing(self.database, guild_id) as session:
            row = await session.get(BlockedPicture, number)
            if row is None or row.guild_id != guild_id:
                raise NotFound(_("There is no such picture on the list."))
            await session.delete(row)
            await record(session, guild_id, by, "allow", {"pictures": [_state(row)]}, {})
        self._guilds.forget(guild_id)

    async def page(self, guild_id: int, number: int = 1) -> BlockedPage:
        """One page of a server's list; a number past the end gives the last page."""
        here = BlockedPicture.guild_id == guild_id
        async with self.database.read() as session:
            total = await session.scalar(select(func.count()).select_from(BlockedPicture).where(here)) or 0
            pages = max(1, -(-total // PAGE))
            number = min(number, pages)
            some = select(BlockedPicture).where(here).order_by(BlockedPicture.id.desc())
            rows = (await session.scalars(some.limit(PAGE).offset((number - 1) * PAGE))).all()
        return BlockedPage(rows, number, pages, total)

    async def every(self, guild_id: int) -> Sequence[BlockedPicture]:
        """A server's whole list, oldest first."""
        here = select(BlockedPicture).where(BlockedPicture.guild_id == guild_id)
        async with self.database.read() as session:
            return (await session.scalars(here.order_by(BlockedPicture.id))).all()

    async def has_like(self, guild_id: int | None, phash: str, bits: int) -> bool:
        """Whether a blocked picture of the server or everywhere differs by at most so many of 64 bits."""
        lists = [await self._hashes(guild) for guild in {guild_id or EVERYWHERE, EVERYWHERE}]
        return any(distance(phash, other) <= bits for hashes in lists for other in hashes)

    async def _hashes(self, guild: int) -> tuple[str, ...]:
        revision = (await self._guilds.look([guild]))[guild].revision
        known = self._known.get(guild)
        if known is None or known.revision != revision:
            async with self.database.read() as session:
                rows = await session.scalars(select(BlockedPicture.phash).where(BlockedPicture.guild_id == guild))
                known = self._known[guild] = _Known(revision, tuple(rows))
        return known.hashes


def _state(row: BlockedPicture) -> dict[str, object]:
    return {"id": row.id, "phash": row.phash, "job_id": row.job_id}
