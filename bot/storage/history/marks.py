"""The numbers in pictures' invisible marks, and the requests that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import select

from limner.bot.reasons import ABOUT_PICTURES
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.hash_table import HashTable, Nearest
from limner.bot.storage.tables.models import Image, Job
from limner.bot.storage.tables.picture_hashes import PictureHashes

MOST_COMPARED = 50_000
"""The newest pictures whose hashes are compared."""


async def is_marked(database: Database, sha256: str) -> bool:
    """Whether the picture with this hash is one of ours that has a mark."""
    marked = select(Image.id).where(Image.sha256 == sha256, Image.mark.is_not(None)).limit(1)
    async with database.read() as session:
        return await session.scalar(marked) is not None


async def of_marks(database: Database, numbers: Sequence[int]) -> dict[int, tuple[Job, int]]:
    """The newest request of each number, with the picture's number there (from 1)."""
    rows = select(Image.mark, Job, Image.position).join(Job, Job.id == Image.job_id).order_by(Image.id)
    async with database.read() as session:
        found = await session.execute(rows.where(Image.mark.in_(numbers), Image.mark.is_not(None)))
        return {mark: (job, position + 1) for mark, job, position in found if mark and job.deleted_at is None}


async def most_alike(database: Database, hashes: PictureHashes, phash_alike: int) -> tuple[Job, int, Nearest] | None:
    """The picture that differs least among the newest pictures; None if none counts as the same."""
    kept = select(Image.id, Image.phash, Image.pdq).join(Job, Job.id == Image.job_id)
    kept = kept.where(Image.phash.is_not(None), Job.deleted_at.is_(None), Job.kind.not_in(ABOUT_PICTURES))
    async with database.read() as session:
        rows = (await session.execute(kept.order_by(Image.id.desc()).limit(MOST_COMPARED))).all()
        listed = ((number, PictureHashes(phash, pdq)) for number, phash, pdq in rows)
        nearest = await asyncio.to_thread(lambda: HashTable(listed).nearest(hashes, phash_alike))
        if nearest is None or not nearest.is_alike:
            return None
        whole = select(Job, Image.position).join(Image, Image.job_id == Job.id).where(Image.id == nearest.number)
        job, position = (await session.execute(whole)).one()
        return job, position + 1, nearest
