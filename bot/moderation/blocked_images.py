"""Blocked pictures: each server's list and the operator's, matched by perceptual hashes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, or_, select

from limner.bot.errors import BadOption, NotFound
from limner.bot.guild_settings import EVERYWHERE, Guilds
from limner.bot.quantities import decimal
from limner.bot.storage.audit_log import changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.hash_table import HashTable, Nearest
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _

PAGE = 10
"""Pictures on one page of the list."""
MOST_BLOCKED = 50_000
"""Blocked pictures of one server; a picture is compared with them in a millisecond."""
LONGEST_REMARK = 100
TOO_MANY = N_("A server may have at most {most} blocked pictures; import fewer.")


@dataclass(frozen=True)
class BlockedPage:
    """Some of a server's blocked pictures, newest first; ``number`` counts from 1."""

    pictures: Sequence[BlockedPicture]
    number: int
    pages: int
    total: int


@dataclass(frozen=True)
class ListedPicture:
    """A picture to block: its hashes, and what is said of it, at most `LONGEST_REMARK` characters."""

    hashes: PictureHashes
    remark: str = ""


@dataclass(frozen=True)
class _Known:
    revision: int
    hashes: HashTable


class BlockedPictures:
    """The lists of blocked pictures; a change counts at once in its process, within a second elsewhere."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self.database = database
        self._guilds = guilds
        self._known: dict[int, _Known] = {}

    async def block(self, guild_id: int, one: ListedPicture, by: int, job_id: int | None = None) -> BlockedPicture:
        """Block pictures like this one in a server (0: everywhere); returns the existing row if there is one.

        An existing row with one kind of hash gets the other one too.
        """
        given = {kind: digits for kind, digits in vars(one.hashes).items() if digits}
        same = or_(*(getattr(BlockedPicture, kind) == digits for kind, digits in given.items()))
        same = select(BlockedPicture).where(BlockedPicture.guild_id == guild_id, same)
        async with changing(self.database, guild_id) as session:
            rows = (await session.scalars(same.order_by(BlockedPicture.id))).all()
            if rows and (len(rows) > 1 or all(getattr(rows[0], kind) for kind in given)):
                return rows[0]
            row = rows[0] if rows else _row(guild_id, one, by, job_id)
            for kind, digits in given.items():
                setattr(row, kind, getattr(row, kind) or digits)
            session.add(row)
            await session.flush()
            await record(session, guild_id, by, "block", {}, {"pictures": [_state(row)]})
        self._guilds.forget(guild_id)
        return row

    async def block_all(self, guild_id: int, pictures: Iterable[ListedPicture], by: int) -> int:
        """Block pictures like those of a list, in one change; the number of those that were not blocked before."""
        async with changing(self.database, guild_id) as session:
            here = BlockedPicture.guild_id == guild_id
            known = set(await session.scalars(select(BlockedPicture.phash).where(here)))
            known |= set(await session.scalars(select(BlockedPicture.pdq).where(here)))
            most = MOST_BLOCKED - (await session.scalar(select(func.count()).where(here)) or 0)
            made = {"guild_id": guild_id, "created_by": by, "created_at": time.time()}
            new = [made | row for row in _unknown(pictures, {*known, None})]
            if len(new) > most:
                raise BadOption(_(TOO_MANY, most=decimal(MOST_BLOCKED)))
            if new:
                await session.execute(insert(BlockedPicture), new)
                added = select(BlockedPicture).where(here, BlockedPicture.created_at == made["created_at"])
                first = (await session.scalars(added.order_by(BlockedPicture.id).limit(1))).one()
                await record(session, guild_id, by, "block", {}, {"pictures": [_state(first)], "number": len(new)})
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

    async def nearest(
        self, guild_id: int | None, pictures: Iterable[PictureHashes], phash_alike: int
    ) -> Nearest | None:
        """The blocked picture of the server or everywhere that differs least from one of these; None without any.

        ``phash_alike`` as in `HashTable.nearest`; the number is the row's.
        """
        tables = [await self._hashes(guild) for guild in {guild_id or EVERYWHERE, EVERYWHERE}]
        found = [table.nearest(one, phash_alike) for one in pictures for table in tables]
        return min(filter(None, found), key=lambda one: one.rank, default=None)

    async def get(self, number: int) -> BlockedPicture | None:
        """One row of a list; None if it was allowed again."""
        async with self.database.read() as session:
            return await session.get(BlockedPicture, number)

    async def _hashes(self, guild: int) -> HashTable:
        revision = (await self._guilds.look([guild]))[guild].revision
        known = self._known.get(guild)
        if known is None or known.revision != revision:
            columns = select(BlockedPicture.id, BlockedPicture.phash, BlockedPicture.pdq)
            async with self.database.read() as session:
                rows = await session.execute(columns.where(BlockedPicture.guild_id == guild))
                table = HashTable((number, PictureHashes(phash, pdq)) for number, phash, pdq in rows)
            known = self._known[guild] = _Known(revision, table)
        return known.hashes


def _row(guild_id: int, one: ListedPicture, by: int, job_id: int | None) -> BlockedPicture:
    now = time.time()
    return BlockedPicture(guild_id=guild_id, remark=one.remark, job_id=job_id, created_by=by, created_at=now)


def _unknown(pictures: Iterable[ListedPicture], known: set[str | None]) -> Iterator[dict[str, Any]]:
    """The columns of what is not blocked yet; ``known`` are the hashes of both kinds that are, and None."""
    for one in pictures:
        fresh = {kind: value for kind, value in vars(one.hashes).items() if value not in known}
        known.update(fresh.values())
        if fresh:
            yield {"phash": None, "pdq": None, "remark": one.remark, **fresh}


def _state(row: BlockedPicture) -> dict[str, object]:
    return {"id": row.id, "phash": row.phash, "pdq": row.pdq, "remark": row.remark, "job_id": row.job_id}
