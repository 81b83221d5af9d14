"""Exports: what is stored about a member, on its way to them in parts; each is a row until its last part is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import delete, select, update

from limner.bot.errors import Decided
from limner.bot.storage import member_data
from limner.bot.storage.db import Database
from limner.bot.storage.member_data import Section
from limner.bot.storage.tables.privacy_tables import Export
from limner.bot.translation import N_, _

log = logging.getLogger(__name__)

PAGE = 100
"""Rows that are read together."""
DAY = 86_400.0
HELD_DAYS = 7
"""Days that an export waits until Discord takes its messages."""
ON_ITS_WAY = N_("Export {number} is on its way already, with {parts} parts sent; it goes on by itself.")


class Exports:
    """What members asked to be sent, as rows. Every method is a short transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._asked = asyncio.Event()

    async def ask(self, user_id: int, locale: str, *, token: str, expires_at: float) -> Export:
        """Store what a member asks for; one that Discord refused goes on with its next part.

        ``token`` is the interaction's, and expires at a time in Unix seconds.

        Raises:
            Decided: their export is on its way.
        """
        values: dict[str, Any] = {"token": token, "token_expires_at": expires_at, "locale": locale}
        async with self.database.begin() as session:
            await self.database.lock(session, f"limner.privacy.{user_id}")
            export = await session.scalar(select(Export).where(Export.user_id == user_id))
            if export is None:
                export = Export(user_id=user_id, asked_at=time.time(), **values)
                session.add(export)
            elif export.held_at is None:
                raise Decided(_(ON_ITS_WAY, number=export.id, parts=export.parts))
            else:
                await session.execute(update(Export).where(Export.id == export.id).values(**values, held_at=None))
        self._asked.set()
        log.info("export_asked export=%s", export.id)
        return export

    async def wait(self, seconds: float) -> None:
        """Wait until somebody asks in this process, but no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    async def of_member(self, user_id: int) -> Export | None:
        """A member's export, with its present figures."""
        async with self.database.read() as session:
            return await session.scalar(select(Export).where(Export.user_id == user_id))

    async def next(self) -> Export | None:
        """The export whose turn it is, because its last part was begun longest ago; None if there is none to send."""
        waits = (Export.held_at.is_not(None), Export.held_at < time.time() - HELD_DAYS * DAY)
        due = select(Export.id).where(Export.held_at.is_(None)).order_by(Export.tried_at, Export.id).limit(1)
        async with self.database.begin() as session:
            await session.execute(delete(Export).where(*waits))
            turn = update(Export).where(Export.id == due.scalar_subquery()).values(tried_at=time.time())
            return await session.scalar(turn.returning(Export))

    async def rows(
        self, user_id: int, last: str = "", after: list[Any] | None = None
    ) -> AsyncGenerator[tuple[Section, Mapping[str, Any]]]:
        """What is stored about a member, each row with its section; after a row of a section, by its primary key."""
        sections = member_data.sections(user_id)
        first = next((place for place, section in enumerate(sections) if section.name == last), 0)
        for section in sections[first:]:
            async for row in self._rows_of(section, after if section.name == last else None):
                yield section, row

    async def mark_sent(self, export: Export, section: str, after: list[Any] | None, pictures: int) -> None:
        """Record that a part was sent, and its last row."""
        values = {"section": section, "after": after, "parts": export.parts + 1}
        values |= {"pictures": Export.pictures + pictures}
        async with self.database.begin() as session:
            await session.execute(update(Export).where(Export.id == export.id).values(**values))

    async def finish(self, export: Export) -> None:
        """Forget an export of which every part is sent."""
        async with self.database.begin() as session:
            await session.execute(delete(Export).where(Export.id == export.id))
        log.info("export_done export=%s parts=%s", export.id, export.parts + 1)

    async def hold(self, export: Export) -> None:
        """Record that Discord refuses the messages; the next part waits until the member asks again."""
        async with self.database.begin() as session:
            await session.execute(update(Export).where(Export.id == export.id).values(held_at=time.time()))

    async def _rows_of(self, section: Section, after: list[Any] | None) -> AsyncGenerator[Mapping[str, Any]]:
        while True:
            async with self.database.read() as session:
                page = (await session.execute(section.rows(after, PAGE))).mappings().all()
            rows = [{str(name): value for name, value in row.items()} for row in page]
            for row in rows:
                yield row
            if len(page) < PAGE:
                return
            after = section.key(rows[-1])
