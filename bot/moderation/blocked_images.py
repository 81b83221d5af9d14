"""Blocked pictures: each server's list and the operator's, matched by perceptual hash."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, insert, select

from limner.bot.errors import BadOption, NotFound
from limner.bot.guild_settings import EVERYWHERE, Guilds
from limner.bot.quantities import decimal
from limner.bot.storage.audit_log import changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.translation import N_, _

PAGE = 10
"""Pictures on one page of the list."""
MOST_BLOCKED = 50_000
"""Blocked pictures of one server; a picture is compared with them in a millisecond."""
TOO_MANY = N_("A server may have at most {most} blocked pictures; import fewer.")


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
    hashes: NDArray[np.uint64]


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

    async def block_all(self, guild_id: int, hashes: Sequence[str], by: int) -> int:
        """Block pictures like those of a list, in one change; the number of those that were not blocked before."""
        async with changing(self.database, guild_id) as session:
            known = set(await session.scalars(select(BlockedPicture.phash).where(BlockedPicture.guild_id == guild_id)))
            if len(known) + len(hashes) > MOST_BLOCKED:
                raise BadOption(_(TOO_MANY, most=decimal(MOST_BLOCKED)))
            made = {"guild_id": guild_id, "created_by": by, "created_at": time.time()}
            new = [made | {"phash": phash} for phash in hashes if phash not in known]
            if new:
                await session.execute(insert(BlockedPicture), new)
                first = await session.scalar(
                    select(func.min(BlockedPicture.id)).where(BlockedPicture.phash == new[0]["phash"])
                )
                listed = {"pictures": [{"id": first, "phash": new[0]["phash"], "job_id": None}], "number": len(new)}
                await record(session, guild_id, by, "block", {}, listed)
        self._guilds.forget(guild_id)
        return len(new)

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
        if not phash:
            return False
        lists = [await self._hashes(guild) for guild in {guild_id or EVERYWHERE, EVERYWHERE}]
        return any(bool((np.bitwise_count(hashes ^ int(phash, 16)) <= bits).any()) for hashes in lists)

    async def _hashes(self, guild: int) -> NDArray[np.uint64]:
        revision = (await self._guilds.look([guild]))[guild].revision
        known = self._known.get(guild)
        if known is None or known.revision != revision:
            async with self.database.read() as session:
                rows = await session.scalars(select(BlockedPicture.phash).where(BlockedPicture.guild_id == guild))
                known = self._known[guild] = _Known(revision, np.array([int(phash, 16) for phash in rows], np.uint64))
        return known.hashes


def _state(row: BlockedPicture) -> dict[str, object]:
    return {"id": row.id, "phash": row.phash, "job_id": row.job_id}
