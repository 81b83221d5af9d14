"""Requests that wait for their member's confirmation or words; each is used once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update

from limner.bot.storage.db import Database
from limner.bot.storage.history.history import History
from limner.bot.storage.tables.asking_tables import PendingAsk
from limner.bot.storage.tables.models import ReferencePicture

KEPT_SECONDS = 24 * 3600.0
MOST_OF_MEMBER = 5
"""A member's newest ones are kept, whatever their age."""
TAKEN_SECONDS = 60.0
"""How long a submission may take; after that it counts as never made."""


class PendingAsks:
    """The rows of pending requests, with their pictures."""

    def __init__(self, database: Database, history: History) -> None:
        self.database = database
        self._history = history

    async def keep(
        self, user_id: int, ask: dict[str, Any], input_sha256: str | None, references: Sequence[str] = ()
    ) -> int:
        """Store a request with its pictures and return its number; the member's oldest ones make room."""
        row = PendingAsk(user_id=user_id, created_at=time.time(), ask=ask, input_sha256=input_sha256)
        mine = select(PendingAsk.id).where(PendingAsk.user_id == user_id).order_by(PendingAsk.id.desc())
        async with self.database.begin() as session:
            session.add(row)
            await session.flush()
            number = row.id
            session.add_all(ReferencePicture(pending_id=number, sha256=sha256) for sha256 in references)
            old = (await session.scalars(mine.offset(MOST_OF_MEMBER))).all()
        if old:
            await self._delete(PendingAsk.id.in_(old))
        return number

    async def get(self, number: int, user_id: int) -> PendingAsk | None:
        """A member's pending request; None if it is submitted, expired or another member's."""
        async with self.database.read() as session:
            return await session.scalar(select(PendingAsk).where(*_free(number, user_id)))

    async def take(self, number: int, user_id: int) -> PendingAsk | None:
        """The same, for one submission at a time: the next call gets None until `give_back`."""
        taken = update(PendingAsk).where(*_free(number, user_id)).values(taken_at=time.time())
        async with self.database.begin() as session:
            return await session.scalar(taken.returning(PendingAsk))

    async def give_back(self, number: int) -> None:
        """The submission was refused, so that it can be tried again."""
        async with self.database.begin() as session:
            await session.execute(update(PendingAsk).where(PendingAsk.id == number).values(taken_at=None))

    async def drop(self, number: int, user_id: int) -> None:
        """Delete a member's pending request, and its picture if no other row has it."""
        await self._delete(PendingAsk.id == number, PendingAsk.user_id == user_id)

    async def expire(self) -> None:
        """Delete the requests of yesterday."""
        await self._delete(PendingAsk.created_at < time.time() - KEPT_SECONDS)

    async def _delete(self, *which: ColumnElement[bool]) -> None:
        async with self.database.begin() as session:
            referred = await session.scalars(
                select(ReferencePicture.sha256)
                .join(PendingAsk, PendingAsk.id == ReferencePicture.pending_id)
                .where(*which)
            )
            gone: list[str | None] = list(referred)
            gone += await session.scalars(delete(PendingAsk).where(*which).returning(PendingAsk.input_sha256))
        if pictures := {sha256 for sha256 in gone if sha256}:
            await self._history.drop_files(pictures)


def _free(number: int, user_id: int) -> tuple[ColumnElement[bool], ...]:
    is_free = or_(PendingAsk.taken_at.is_(None), PendingAsk.taken_at < time.time() - TAKEN_SECONDS)
    return PendingAsk.id == number, PendingAsk.user_id == user_id, is_free
