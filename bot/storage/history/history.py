"""History: a member's finished requests and pictures, by page, searched and deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, delete, func, select, text, update
from sqlalchemy.orm.attributes import InstrumentedAttribute, set_committed_value

from limner.bot.place import Where
from limner.bot.reasons import ABOUT_PICTURES, STALE, EndCode, JobKind, JobStatus, ReviewState
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import erasable, erase_rows
from limner.bot.storage.history import favourites
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.storage.history.lineage import Lineage
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.shared_sql import undecided
from limner.bot.storage.tables.asking_tables import PendingAsk
from limner.bot.storage.tables.embedding_tables import Embedding
from limner.bot.storage.tables.models import REFUSED, AnswerToken, Image, InputPicture, Job, ReferencePicture
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.storage.tables.rating_tables import Preference, Rating

ABANDONED_SECONDS = 3600.0
"""How long a saved picture may wait for its row; longer than a busy database takes."""


GIVEN = (Job.input_sha256, Job.mask_sha256)
"""The pictures that a request was given, without those that it refers to."""
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
class AskedBefore:
    """The words of a request, its author, and where it was made."""

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
        self.gallery = Gallery(database)
        self.lineage = Lineage(database)
        self._images = images

    async def page(
        self,
        user_id: int | None,
        *,
        search: str = "",
        limit: int = 4,
        before: int | None = None,
        every_status: bool = False,
    ) -> Sequence[Job]:
        """A user's requests with pictures (None: everybody's), newest first; with ``before``, those before a request.

        With ``search``, only those whose idea or prompt contains all its words. With ``every_status`` also queued,
        refused, cancelled and failed ones. Deleted ones are never included.
        """
        wanted = Filter(user_id=user_id, words=search, every_status=every_status)
        ids = await self.gallery.requests(wanted, limit, after=before)
        found = select(Job).where(Job.id.in_(ids)).order_by(Job.id.desc())
        async with self.database.read() as session:
            return (await session.scalars(found)).all()

    async def some(self, ids: Sequence[int]) -> Sequence[Job]:
        """Those of the requests that are not deleted, in this order."""
        async with self.database.read() as session:
            found = await session.scalars(select(Job).where(Job.id.in_(ids), Job.deleted_at.is_(None)))
            jobs = {job.id: job for job in found}
        return [jobs[number] for number in ids if number in jobs]

    async def newest(self, user_id: int, weights_key: str, limit: int) -> Sequence[Job]:
        """A member's newest finished requests with these weights."""
        found = select(Job).where(Job.user_id == user_id, Job.deleted_at.is_(None), Job.weights_key == weights_key)
        found = found.where(Job.status == JobStatus.SUCCEEDED).order_by(Job.id.desc())
        async with self.database.read() as session:
            return (await session.scalars(found.limit(limit))).all()

    async def with_file(self, sha256: str) -> Job | None:
        """The newest request with a picture of exactly these bytes; None if there is none any more."""
        found = select(Job).join(Image).where(Image.sha256 == sha256, Job.deleted_at.is_(None))
        async with self.database.read() as session:
            return await session.scalar(found.order_by(Job.id.desc()).limit(1))

    async def expanded(self, newest: int) -> Sequence[Job]:
        """The newest requests with an expansion, also those whose idea is painted as it is."""
        found = select(Job).where(Job.expansion.is_not(None), Job.deleted_at.is_(None)).order_by(Job.id.desc())
        async with self.database.read() as session:
            return (await session.scalars(found.limit(newest))).all()

    async def count(self, user_id: int | None, *, every_status: bool = False) -> int:
        """The number of those requests."""
        which = [Job.deleted_at.is_(None)] + ([Job.user_id == user_id] if user_id is not None else [])
        if not every_status:
            which += [Job.status == JobStatus.SUCCEEDED, Job.kind.not_in(ABOUT_PICTURES)]
        found = select(func.count()).select_from(Job).where(*which)
        async with self.database.read() as session:
            return await session.scalar(found) or 0

    async def count_since(self, user_id: int, seconds: float) -> int:
        """The number of a user's requests in the last so many seconds, whatever their status."""
        found = select(func.count()).select_from(Job)
        found = found.where(Job.user_id == user_id, Job.created_at > time.time() - seconds)
        async with self.database.read() as session:
            return await session.scalar(found) or 0

    async def is_first(self, job: Job) -> bool:
        """Whether this is its owner's first picture by its model; of several painted at once it is the oldest one."""
        done = (Job.status == JobStatus.SUCCEEDED) | ((Job.status == JobStatus.RUNNING) & (Job.id < job.id))
        mine = (Job.user_id == job.user_id, done, Job.kind == JobKind.PAINT, Job.id != job.id)
        earlier = select(Job.id).where(*mine, Job.weights_key.startswith(f"{job.request['model']}|", autoescape=True))
        async with self.database.read() as session:
            return await session.scalar(earlier.limit(1)) is None

    async def of_guild(self, guild_id: int, limit: int) -> list[AskedBefore]:
        """The latest requests of a server, newest first, whatever their status."""
        here = (Job.guild_id == guild_id, Job.deleted_at.is_(None))
        return await self._asked(guild_id, here, Job.id, limit)

    async def refused(self, user_id: int, guild_id: int | None, seconds: float, limit: int) -> list[AskedBefore]:
        """A member's requests that the filter refused in a server (None: outside servers) in the last so many seconds.

        Newest first; deleted ones are included.
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
    ) -> list[AskedBefore]:
        found = select(*_ASKED).where(*which).order_by(newest.desc()).limit(limit)
        async with self.database.read() as session:
            rows = (await session.execute(found)).all()
        return [
            AskedBefore(
                number, user, idea, prompt or "", Where(guild_id, channel, tuple(parents), tuple(roles), is_nsfw), at
            )
            for number, user, idea, prompt, channel, parents, roles, is_nsfw, at in rows
        ]

    async def delete(self, job_id: int) -> None:
        """Delete a request: no page, search, card or file shows it any more, it is not generated, and its words go.

        Words and pictures that await a moderator's decision stay on the review card until then; see `erasable`.
        """
        await self.delete_all([job_id])

    async def delete_all(self, ids: Sequence[int]) -> None:
        """The same for several requests, in one transaction."""
        decided = (Review.job_id.in_(ids), Review.state != ReviewState.OPEN, Review.shown == Review.state)
        async with self.database.begin() as session:
            await session.execute(update(Job).where(Job.id.in_(ids)).values(**shared_sql.deleted()))
            await session.execute(update(Review).where(*decided).values(shown=STALE))
            await shared_sql.forget_previews(session, ids)
            await shared_sql.forget_tokens(session, AnswerToken.job_id.in_(ids))
            await favourites.forget(session, Job.id.in_(ids))
            await session.execute(delete(Rating).where(Rating.job_id.in_(ids)))
            await session.execute(delete(Preference).where(Preference.job_id.in_(ids)))
            await session.execute(delete(Embedding).where(Embedding.job_id.in_(ids)))
        await self.erase(ids)

    async def erase(self, ids: Sequence[int]) -> Sequence[int]:
        """Remove the files of deleted requests, except those that await a moderator's decision, and then their words.

        The files go first, so that an interrupted call is completed by the next one. Returns the requests whose words
        are gone now; `erase_deleted` erases the others once nobody needs them.
        """
        painted = select(Image.sha256).where(Image.job_id.in_(ids))
        async with self.database.read() as session:
            given = (await session.execute(select(*GIVEN).where(Job.id.in_(ids)))).all()
            named = (*await session.scalars(painted), *await session.scalars(references_of(ids)), *chain(*given))
        await self.drop_files({sha256 for sha256 in named if sha256})
        free = select(Job.id).where(Job.id.in_(ids), *erasable()).with_for_update()
        async with self.database.begin() as session:
            if erased := (await session.scalars(free)).all():
                await erase_rows(session, erased)
        return erased

    async def erase_deleted(self, *, user_id: int | None = None, most: int = 500) -> int:
        """Erase the words of deleted requests (of one member) that nobody needs any more; returns their number."""
        found = select(Job.id).where(*erasable()).order_by(Job.id).limit(most)
        async with self.database.read() as session:
            due = (await session.scalars(found if user_id is None else found.where(Job.user_id == user_id))).all()
        return len(await self.erase(due)) if due else 0

    async def drop_pictures(self, job_id: int) -> None:
        """Remove a request's pictures and keep its words; repeating it completes an interrupted call."""
        mine = Image.job_id == job_id
        async with self.database.read() as session:
            hashes = set(await session.scalars(select(Image.sha256).where(mine)))
        await self._delete_files(hashes - await self._held(hashes, but=job_id))
        async with self.database.begin() as session:
            await session.execute(delete(Image).where(mine))

    async def drop_picture(self, job_id: int, number: int) -> None:
        """Remove one picture of a request, counted from 1; its file stays where another row refers to it."""
        which = (Image.job_id == job_id, Image.position == number - 1)
        async with self.database.begin() as session:
            hashes = set(await session.scalars(delete(Image).where(*which).returning(Image.sha256)))
        await self.drop_files(hashes)

    async def drop_refused(self, job: Job) -> None:
        """Remove a refused request's generated pictures, and its input picture if that was the reason."""
        if job.images:
            await self.drop_pictures(job.id)
        if given := {sha256 for sha256 in (*job.generation.given, job.mask_sha256) if sha256}:
            await self.drop_files(given)

    async def drop_missing(self, job: Job) -> None:
        """Delete the rows of a job's pictures whose files are missing."""
        gone = [image for image in job.images if not self._images.has(image.sha256)]
        if gone:
            async with self.database.begin() as session:
                await session.execute(delete(Image).where(Image.id.in_([image.id for image in gone])))
            set_committed_value(job, "images", [image for image in job.images if image not in gone])

    async def drop_files(self, hashes: set[str]) -> None:
        """Remove the picture files that no row refers to any more; a file shared with another job stays."""
        unused = hashes - await self._held(hashes)
        await self._delete_files(unused)
        async with self.database.begin() as session:
            await session.execute(delete(InputPicture).where(InputPicture.sha256.in_(unused)))

    async def sweep(self, older_than: float = ABANDONED_SECONDS) -> int:
        """Remove pictures that were saved some seconds ago and never got a row, because their process was killed.

        Returns the number of files.
        """
        saved = await asyncio.to_thread(self._images.unkept)
        held = await self._held(saved)
        await asyncio.to_thread(lambda: [self._images.keep(sha256) for sha256 in held])
        latest = time.time() - older_than
        abandoned = [sha256 for sha256, at in saved.items() if sha256 not in held and at < latest]
        await self._delete_files(abandoned)
        return len(abandoned)

    async def _delete_files(self, hashes: Iterable[str]) -> None:
        """Remove files in a thread: a sweep deletes hundreds at once, and a disk may be slow."""
        await asyncio.to_thread(lambda: [self._images.delete(sha256) for sha256 in hashes])

    async def _held(self, hashes: Collection[str], *, but: int = 0) -> set[str]:
        """Those of the hashes that a row refers to (``but`` one job's), as output or input, and that is not deleted.

        A request refused for its input picture does not hold that picture; a request that awaits a moderator's decision
        holds its pictures even when deleted.
        """
        kept = Job.deleted_at.is_(None) | undecided()
        painted = select(Image.sha256).join(Job, Job.id == Image.job_id).where(kept, Job.id != but)
        is_refused = Job.reason_code.startswith(EndCode.PICTURE.prefix)
        holds = (kept, Job.reason_code.is_(None) | ~is_refused)
        given: list[Select[Any]] = [select(one).where(*holds, one.in_(hashes)) for one in GIVEN]
        # The outer join also finds the pictures of pending requests, which have no job yet.
        referred = select(ReferencePicture.sha256).outerjoin(Job, Job.id == ReferencePicture.job_id)
        referred = referred.where(*holds, ReferencePicture.sha256.in_(hashes))
        async with self.database.read() as session:
            held = set(await session.scalars(painted.where(Image.sha256.in_(hashes))))
            inputs = [sha256 for one in (*given, referred) for sha256 in await session.scalars(one)]
            pending = await session.scalars(select(PendingAsk.input_sha256).where(PendingAsk.input_sha256.in_(hashes)))
            return held | {sha256 for sha256 in (*inputs, *pending) if sha256}


def references_of(job_ids: Collection[int]) -> Select[str]:
    """The pictures that these requests refer to."""
    return select(ReferencePicture.sha256).where(ReferencePicture.job_id.in_(job_ids))
