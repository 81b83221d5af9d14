"""How jobs' rows are read and changed: short transactions that wake whom they concern."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Select, Update, event, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from limner.bot.queue.wakeup import Wakeup
from limner.bot.reasons import JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job


class JobRows:
    """The rows of a database, and the wake-ups of those that wait for a change.

    ``queued`` rings when there may be something to claim, ``changed`` when there may be something to show.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queued = Wakeup()
        self.changed = Wakeup()
        self._channels = {self.queued: "limner_queued", self.changed: "limner_changed"}

    @asynccontextmanager
    async def changing(self, *also: Wakeup) -> AsyncGenerator[AsyncSession]:
        """A transaction that wakes delivery and the review cards when it commits, and ``also`` others."""
        async with self.database.begin() as session:
            yield session
            await self._announce(session, self.changed, *also)

    async def _update(self, statement: Update, *wakeups: Wakeup, survives_power_cut: bool = True) -> set[int]:
        """Change rows and wake listeners if there were any; returns their ids. Previews of ended jobs are deleted."""
        async with self.database.begin(survives_power_cut=survives_power_cut) as session:
            rows = (await session.execute(statement.returning(Job.id, Job.status))).all()
            if rows:
                await shared_sql.forget_previews(
                    session, [job_id for job_id, status in rows if status != JobStatus.RUNNING]
                )
                await self._announce(session, *wakeups)
        return {job_id for job_id, _ in rows}

    async def _changed(self, statement: Update, *wakeups: Wakeup) -> bool:
        return bool(await self._update(statement, *wakeups))

    async def _read(self, statement: Select[Job]) -> Sequence[Job]:
        async with self.database.read() as session:
            return (await session.scalars(statement)).all()

    async def _announce(self, session: AsyncSession, *wakeups: Wakeup) -> None:
        """Wake this process, and on Postgres those of other machines, when this transaction commits."""
        for wakeup in wakeups:
            _after_commit(session, wakeup)
            if not self.database.is_sqlite:
                await session.execute(select(func.pg_notify(self._channels[wakeup], "")))


def _after_commit(session: AsyncSession, wakeup: Wakeup) -> None:
    def ring(_session: Session) -> None:
        wakeup.ring()

    event.listen(session.sync_session, "after_commit", ring, once=True)
