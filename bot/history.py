"""History: what somebody has made, page by page, searched and deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, func, select, update

from bot.db import Database
from bot.errors import NotFound, NotYours
from bot.models import Image, Job, JobStatus
from bot.search import matches
from bot.storage import ImageStore

ABANDONED_SECONDS = 3600.0
"""How long a picture may wait for its row: a busy database is waited for, a killed process is not."""


class History:
    """The rows of finished jobs, and their pictures."""

    def __init__(self, database: Database, images: ImageStore) -> None:
        self.database = database
        self._images = images

    async def page(
        self, user_id: int | None, *, search: str = "", number: int = 1, limit: int = 4, every_status: bool = False
    ) -> Sequence[Job]:
        """One page of a user's pictures (of everybody's: None), newest first; the first page has the number 1.

        With ``search``, only those whose idea or prompt holds all its words. With ``every_status`` also what was
        queued, refused, cancelled or failed. Deleted ones never come back.
        """
        found = select(Job).where(*self._which(user_id, search, every_status)).order_by(Job.id.desc())
        found = found.limit(limit).offset((number - 1) * limit)
        async with self.database.read() as session:
            return (await session.scalars(found)).all()

    async def count(self, user_id: int | None, *, search: str = "", every_status: bool = False) -> int:
        """How many jobs all pages hold together."""
        found = select(func.count()).select_from(Job).where(*self._which(user_id, search, every_status))
        async with self.database.read() as session:
            return await session.scalar(found) or 0

    async def get(self, job_id: int, user_id: int) -> Job:
        """One job of the user's own; raises NotFound or NotYours."""
        async with self.database.read() as session:
            job = await session.get(Job, job_id)
        if job is None or job.deleted_at is not None:
            raise NotFound
        if job.user_id != user_id:
            raise NotYours
        return job

    async def delete(self, job: Job) -> None:
        """Forget a job's pictures: no page, no search and no file shows them any more."""
        gone = update(Job).where(Job.id == job.id).values(deleted_at=time.time(), search_text="")
        async with self.database.begin() as session:
            await session.execute(gone)
        await self.drop_files({image.sha256 for image in job.images})

    async def drop_files(self, hashes: set[str]) -> None:
        """Remove the picture files that no row holds any more; one that another job's picture shares stays."""
        for sha256 in hashes - await self._held(hashes):
            self._images.delete(sha256)

    async def sweep(self, older_than: float = ABANDONED_SECONDS) -> int:
        """Remove pictures that were saved some seconds ago and never got their row: their process was killed.

        Tells how many files.
        """
        saved = await asyncio.to_thread(self._images.unkept)
        held = await self._held(saved)
        for sha256 in held:
            self._images.keep(sha256)
        latest = time.time() - older_than
        abandoned = [sha256 for sha256, at in saved.items() if sha256 not in held and at < latest]
        for sha256 in abandoned:
            self._images.delete(sha256)
        return len(abandoned)

    async def _held(self, hashes: Collection[str]) -> set[str]:
        """Those of the hashes that a row holds whose pictures are not deleted."""
        held = select(Image.sha256).join(Job, Job.id == Image.job_id).where(Job.deleted_at.is_(None))
        async with self.database.read() as session:
            return set(await session.scalars(held.where(Image.sha256.in_(hashes))))

    def _which(self, user_id: int | None, search: str, every_status: bool) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [Job.deleted_at.is_(None)]
        if user_id is not None:
            conditions.append(Job.user_id == user_id)
        if not every_status:
            conditions.append(Job.status == JobStatus.SUCCEEDED)
        if search.strip():
            conditions.append(matches(search, is_sqlite=self.database.is_sqlite))
        return conditions
