"""Erasing a member's requests, or everything of a member: a row until it is done, carried out in small parts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, literal, select, update

from limner.bot.storage import member_data
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import forget_leftovers
from limner.bot.storage.history.history import History
from limner.bot.storage.history.taught_loras import TaughtLoras
from limner.bot.storage.tables.models import Image, Job
from limner.bot.storage.tables.privacy_tables import Erasure

log = logging.getLogger(__name__)

BATCH = 100
"""Requests that are erased together."""


@dataclass(frozen=True)
class Period:
    """A member's requests made at or after one time and before another, in Unix seconds."""

    user_id: int
    after: float
    before: float

    def contains(self) -> tuple[ColumnElement[bool], ...]:
        """The condition for a request's row."""
        return Job.user_id == self.user_id, Job.created_at >= self.after, Job.created_at < self.before


@dataclass(frozen=True)
class Held:
    """How much is stored: requests, and pictures with their bytes."""

    requests: int
    pictures: int
    size: int


@dataclass(frozen=True)
class Left:
    """What moderators need for a while: requests, strikes, when the last strike expires (Unix seconds), and bans."""

    requests: int = 0
    strikes: int = 0
    until: float = 0.0
    bans: int = 0

    def __bool__(self) -> bool:
        return bool(self.requests or self.strikes or self.bans)


class Erasures:
    """What members ask to be erased, as rows. Every method is a few short transactions."""

    def __init__(self, database: Database, history: History) -> None:
        self.database = database
        self._history = history
        self._taught = TaughtLoras(database)
        self._asked = asyncio.Event()

    async def held(self, span: Period) -> Held:
        """How much is stored of a member's requests that are not deleted."""
        mine = (*span.contains(), Job.deleted_at.is_(None))
        pictures = select(func.count(), func.coalesce(func.sum(Image.size), 0)).join(Job, Job.id == Image.job_id)
        async with self.database.read() as session:
            requests = await session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0
            row = (await session.execute(pictures.where(*mine))).one()
        return Held(requests, row[0], int(row[1]))

    async def ask(self, span: Period, *, is_all: bool, takes_messages: bool, locale: str) -> Erasure:
        """Store what a member asks to erase; asked for again before it is done, it is the same row."""
        same = select(Erasure).where(
            Erasure.user_id == span.user_id,
            Erasure.done_at.is_(None),
            Erasure.is_all == is_all,
            Erasure.takes_messages == takes_messages,
            Erasure.after == span.after,
            literal(is_all) | (Erasure.before == span.before),
        )
        async with self.database.begin() as session:
            await self.database.lock(session, f"limner.privacy.{span.user_id}")
            if erasure := await session.scalar(same):
                return erasure
            erasure = Erasure(
                user_id=span.user_id,
                asked_at=time.time(),
                after=span.after,
                before=span.before,
                is_all=is_all,
                takes_messages=takes_messages,
                locale=locale,
            )
            session.add(erasure)
        self._asked.set()
        log.info("erasure_asked erasure=%s", erasure.id)
        return erasure

    async def wait(self, seconds: float) -> None:
        """Wait until somebody asks in this process, but no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    async def others(self, user_id: int) -> dict[str, int]:
        """How many rows of a member each table holds beside the requests, by its name."""
        async with self.database.read() as session:
            return await member_data.counted(session, user_id)

    async def of_member(self, user_id: int) -> Sequence[Erasure]:
        """A member's erasures that are not wholly carried out, oldest first."""
        return await self._read(Erasure.user_id == user_id)

    async def to_do(self) -> Sequence[Erasure]:
        """Wishes that nobody has carried out yet, oldest first."""
        return await self._read(Erasure.done_at.is_(None))

    async def with_leftovers(self) -> Sequence[Erasure]:
        """Wishes of which something is left that moderators needed."""
        return await self._read(Erasure.done_at.is_not(None))

    async def next_requests(self, erasure: Erasure) -> Sequence[Job]:
        """The next requests to erase, oldest first; those that are deleted already do not come again."""
        due = select(Job).where(*_span(erasure).contains(), Job.deleted_at.is_(None)).order_by(Job.id).limit(BATCH)
        async with self.database.read() as session:
            return (await session.scalars(due)).all()

    async def erase(self, erasure: Erasure, jobs: Sequence[Job], *, messages: int, kept_messages: int) -> None:
        """Erase these requests, and count them and their messages in the erasure's row."""
        await self._history.delete_all([job.id for job in jobs])
        counts = {
            "requests": Erasure.requests + len(jobs),
            "pictures": Erasure.pictures + sum(len(job.images) for job in jobs),
            "messages": Erasure.messages + messages,
            "kept_messages": Erasure.kept_messages + kept_messages,
        }
        async with self.database.begin() as session:
            await session.execute(update(Erasure).where(Erasure.id == erasure.id).values(**counts))

    async def finish(self, erasure: Erasure) -> Left:
        """Erase what is beside the requests, if everything is erased, and the words in the index; returns what is left.

        The erasure counts as done then; calling it again for a done one erases what moderators do not need any more,
        and deletes the erasure once nothing is left.
        """
        left = await self._erase_all(erasure) if erasure.is_all else Left(await self._undecided(erasure))
        if erasure.done_at is None:
            await forget_leftovers(self.database)
        async with self.database.begin() as session:
            mine = Erasure.id == erasure.id
            if left:
                await session.execute(
                    update(Erasure).where(mine).values(done_at=func.coalesce(Erasure.done_at, time.time()))
                )
            else:
                await session.execute(delete(Erasure).where(mine))
        log.info("erasure_done erasure=%s left=%s", erasure.id, left.requests + left.strikes)
        return left

    async def get(self, number: int) -> Erasure | None:
        """An erasure with its present figures; None if it is carried out."""
        async with self.database.read() as session:
            return await session.get(Erasure, number)

    async def _erase_all(self, erasure: Erasure) -> Left:
        user_id, before = erasure.user_id, erasure.before
        hashes: set[str] = set()
        while await self._history.erase_deleted(user_id=user_id):
            pass
        if erasure.done_at is None:
            await self._taught.forget(user_id)
        async with self.database.begin() as session:
            if erasure.done_at is None:  # otherwise these are new ones of a member who came back
                hashes = await member_data.erase_own(session, user_id)
                await member_data.erase_actor(session, user_id)
            await member_data.erase_reduced(session, user_id, before)
            await member_data.erase_old_strikes(session, user_id, before)
            strikes, until = await member_data.strikes_left(session, user_id, before)
            bans = await member_data.bans_left(session, user_id, before)
            # Also those whose words somebody else has erased meanwhile: their rows go when this is called again.
            requests = await member_data.deleted_left(session, user_id, before)
        await self._history.drop_files(hashes)
        return Left(requests, strikes, until, bans)

    async def _undecided(self, erasure: Erasure) -> int:
        """Requests of the erasure that moderators or the filter still need, or that are still being painted."""
        mine = (*_span(erasure).contains(), Job.deleted_at.is_not(None), Job.erased_at.is_(None))
        async with self.database.read() as session:
            return await session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0

    async def _read(self, which: ColumnElement[bool]) -> Sequence[Erasure]:
        async with self.database.read() as session:
            return (await session.scalars(select(Erasure).where(which).order_by(Erasure.id))).all()


def _span(erasure: Erasure) -> Period:
    return Period(erasure.user_id, erasure.after, erasure.before)
