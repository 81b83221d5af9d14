"""History: what somebody has made, page by page, searched and deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, TextClause, delete, func, select, text, update
from sqlalchemy.orm.attributes import InstrumentedAttribute, set_committed_value

from limner.bot.place import Where
from limner.bot.reasons import EndCode
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.image_store import ImageStore
from limner.bot.storage.models import (
    REFUSED,
    STALE,
    AnswerToken,
    Image,
    InputPicture,
    Job,
    JobKind,
    JobStatus,
    Review,
    ReviewState,
)
from limner.bot.storage.search import matches
from limner.bot.storage.shared_sql import undecided

ABANDONED_SECONDS = 3600.0
"""How long a picture may wait for its row: a busy database is waited for, a killed process is not."""


_ASKED = (
    Job.id,
    Job.user_id,
    Job.idea,
    Job.prompt,
    Job.channel_id,
    Job.parent_ids,
    Job.role_ids,
    Job.is_age_restricted,
    Job.created_at,
)


@dataclass(frozen=True)
class Asked:
    """The words of a request, whose they are, and where they were said."""

    id: int
    user_id: int
    idea: str
    prompt: str
    where: Where
    #: Unix seconds.
    at: float


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

    async def count_since(self, user_id: int, seconds: float) -> int:
        """How many requests of a user were made in the last so many seconds, whatever became of them."""
        found = select(func.count()).select_from(Job)
        found = found.where(Job.user_id == user_id, Job.created_at > time.time() - seconds)
        async with self.database.read() as session:
            return await session.scalar(found) or 0

    async def is_first(self, job: Job) -> bool:
        """Whether no other picture was painted for its owner by its model."""
        mine = (
            Job.user_id == job.user_id,
            Job.status == JobStatus.SUCCEEDED,
            Job.kind == JobKind.PAINT,
            Job.id != job.id,
        )
        earlier = select(Job.id).where(*mine, Job.weights_key.startswith(f"{job.request['model']}|", autoescape=True))
        async with self.database.read() as session:
            return await session.scalar(earlier.limit(1)) is None

    async def of_guild(self, guild_id: int, limit: int) -> list[Asked]:
        """What was asked for last in a server, newest first, whatever came of it."""
        here = (Job.guild_id == guild_id, Job.deleted_at.is_(None))
        return await self._asked(guild_id, here, Job.id, limit)

    async def refused(self, user_id: int, guild_id: int | None, seconds: float, limit: int) -> list[Asked]:
        """What the filter refused a member in a server (None: elsewhere) in the last so many seconds, newest first.

        What was deleted meanwhile counts too.
        """
        whose = (Job.user_id == user_id, Job.server_id == (guild_id or 0), text(REFUSED))
        recent = (Job.created_at > time.time() - seconds, Job.reason_code.startswith(EndCode.FILTER.prefix))
        return await self._asked(guild_id, (*whose, *recent), Job.created_at, limit)

    async def _asked(
        self,
        guild_id: int | None,
        which: Iterable[ColumnElement[bool] | TextClause],
        newest: InstrumentedAttribute[Any],
        limit: int,
    ) -> list[Asked]:
        found = select(*_ASKED).where(*which).order_by(newest.desc()).limit(limit)
        async with self.database.read() as session:
            rows = (await session.execute(found)).all()
        return [
            Asked(number, user, idea, prompt or "", Where(guild_id, channel, tuple(parents), tuple(roles), is_nsfw), at)
            for number, user, idea, prompt, channel, parents, roles, is_nsfw, at in rows
        ]

    async def delete(self, job_id: int) -> None:
        """Forget a request: no page, no search, no card and no file shows it any more, and nothing is painted for it.

        Words and pictures that a moderator has yet to decide about stay on the card until then.
        """
        decided = (Review.job_id == job_id, Review.state != ReviewState.OPEN, Review.shown == Review.state)
        async with self.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job_id).values(**shared_sql.deleted()))
            await session.execute(update(Review).where(*decided).values(shown=STALE))
            await shared_sql.forget_previews(session, [job_id])
            await shared_sql.forget_tokens(session, AnswerToken.job_id == job_id)
        await self.erase(job_id)

    async def erase(self, job_id: int) -> None:
        """Remove the files of a deleted request, as far as no moderator has yet to decide about them."""
        async with self.database.read() as session:
            painted = await session.scalars(select(Image.sha256).where(Image.job_id == job_id))
            given = await session.scalars(select(Job.input_sha256).where(Job.id == job_id))
            hashes = {sha256 for sha256 in (*painted, *given) if sha256}
        await self.drop_files(hashes)

    async def drop_pictures(self, job_id: int) -> None:
        """Remove a request's pictures and keep what was asked for; done again, it ends what a crash has left."""
        mine = Image.job_id == job_id
        async with self.database.read() as session:
            hashes = set(await session.scalars(select(Image.sha256).where(mine)))
        for sha256 in hashes - await self._held(hashes, but=job_id):
            self._images.delete(sha256)
        async with self.database.begin() as session:
            await session.execute(delete(Image).where(mine))

    async def drop_refused(self, job: Job) -> None:
        """Remove what a refused request has of pictures: those painted, and the one to start from if that was why."""
        if job.images:
            await self.drop_pictures(job.id)
        if job.input_sha256:
            await self.drop_files({job.input_sha256})

    async def drop_missing(self, job: Job) -> None:
        """Forget those of a job's pictures whose files somebody has removed: there is nothing to be seen of them."""
        gone = [image for image in job.images if not self._images.path(image.sha256).exists()]
        if gone:
            async with self.database.begin() as session:
                await session.execute(delete(Image).where(Image.id.in_([image.id for image in gone])))
            set_committed_value(job, "images", [image for image in job.images if image not in gone])

    async def drop_files(self, hashes: set[str]) -> None:
        """Remove the picture files that no row holds any more; one that another job's picture shares stays."""
        unused = hashes - await self._held(hashes)
        for sha256 in unused:
            self._images.delete(sha256)
        async with self.database.begin() as session:
            await session.execute(delete(InputPicture).where(InputPicture.sha256.in_(unused)))

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

    async def _held(self, hashes: Collection[str], *, but: int = 0) -> set[str]:
        """Those of the hashes that a row holds (``but`` one job's), painted or to start from, and that is not deleted.

        A request that was refused for the picture that it was to start from does not hold it; one that a moderator has
        yet to decide about does, deleted or not.
        """
        kept = Job.deleted_at.is_(None) | undecided()
        painted = select(Image.sha256).join(Job, Job.id == Image.job_id).where(kept, Job.id != but)
        is_refused = Job.reason_code.startswith(EndCode.PICTURE.prefix)
        given = select(Job.input_sha256).where(kept, Job.reason_code.is_(None) | ~is_refused)
        async with self.database.read() as session:
            held = set(await session.scalars(painted.where(Image.sha256.in_(hashes))))
            inputs = await session.scalars(given.where(Job.input_sha256.in_(hashes)))
            return held | {sha256 for sha256 in inputs if sha256}

    def _which(self, user_id: int | None, search: str, every_status: bool) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [Job.deleted_at.is_(None)]
        if user_id is not None:
            conditions.append(Job.user_id == user_id)
        if not every_status:
            conditions += [Job.status == JobStatus.SUCCEEDED, Job.kind != JobKind.DESCRIBE]
        if search.strip():
            conditions.append(matches(search, is_sqlite=self.database.is_sqlite))
        return conditions
