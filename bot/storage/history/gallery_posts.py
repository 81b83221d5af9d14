"""The rows of a server's gallery channel: pictures that enough members starred, until their messages are removed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, or_, select, text, update

from limner.bot.reasons import ABOUT_PICTURES, ImageVerdict, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.gallery_tables import GalleryPost
from limner.bot.storage.tables.models import Image, Job

AT_ONCE = 20
"""Pictures that are posted, and messages that are removed, in one go."""
_WANT = text("""
INSERT INTO gallery_posts (image_id, guild_id, not_before) VALUES (:image, :guild, 0)
ON CONFLICT (image_id) DO NOTHING
""")


class GalleryPosts:
    """Which pictures are to be posted, and which messages are to be removed; a picture is posted once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def want(self, image_id: int, guild_id: int) -> None:
        """Have a picture posted; once more changes nothing."""
        async with self._database.begin() as session:
            await session.execute(_WANT, {"image": image_id, "guild": guild_id})

    async def to_post(self) -> Sequence[tuple[GalleryPost, Job, Image]]:
        """The pictures that wait to be posted, with their requests."""
        found = select(GalleryPost, Job, Image).join(Image, Image.id == GalleryPost.image_id)
        found = found.join(Job, Job.id == Image.job_id).where(
            GalleryPost.message_id.is_(None), GalleryPost.not_before <= time.time()
        )
        async with self._database.read() as session:
            rows = await session.execute(found.where(*_is_public()).order_by(GalleryPost.id).limit(AT_ONCE))
            return [(post, job, image) for post, job, image in rows]

    async def to_remove(self) -> Sequence[GalleryPost]:
        """The rows of pictures that are deleted, hidden, held or private by now, posted or not."""
        is_shown = select(Image.id).join(Job, Job.id == Image.job_id)
        is_shown = is_shown.where(Image.id == GalleryPost.image_id, *_is_public()).correlate(GalleryPost).exists()
        async with self._database.read() as session:
            return list(await session.scalars(select(GalleryPost).where(~is_shown).limit(AT_ONCE)))

    async def posted(self, post: GalleryPost, channel_id: int, message_id: int) -> None:
        """Record where a picture was posted."""
        values = {"channel_id": channel_id, "message_id": message_id}
        async with self._database.begin() as session:
            await session.execute(update(GalleryPost).where(GalleryPost.id == post.id).values(**values))

    async def postpone(self, post: GalleryPost, seconds: float) -> None:
        """Try to post a picture again after some seconds."""
        again = update(GalleryPost).where(GalleryPost.id == post.id).values(not_before=time.time() + seconds)
        async with self._database.begin() as session:
            await session.execute(again)

    async def drop(self, post: GalleryPost) -> None:
        """Forget a picture whose message is removed, or that cannot be posted; a new star brings it back."""
        async with self._database.begin() as session:
            await session.execute(delete(GalleryPost).where(GalleryPost.id == post.id))


def _is_public() -> tuple[ColumnElement[bool], ...]:
    """Whether a picture may stand in a gallery channel at all."""
    return (
        Job.guild_id == GalleryPost.guild_id,
        Job.status == JobStatus.SUCCEEDED,
        Job.kind.not_in(ABOUT_PICTURES),
        Job.deleted_at.is_(None),
        Job.quarantine.is_(None),
        Job.is_private.is_(False),
        Job.is_spoiler.is_(False),
        or_(Image.verdict.is_(None), Image.verdict == ImageVerdict.APPROVED),
    )
