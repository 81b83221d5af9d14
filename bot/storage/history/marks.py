"""The numbers in pictures' invisible marks, and the requests that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import select

from limner.bot.reasons import ABOUT_PICTURES
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.perceptual_hash import distance
from limner.bot.storage.tables.models import Image, Job

MOST_COMPARED = 50_000
"""The newest pictures whose hashes are compared."""


async def is_marked(database: Database, sha256: str) -> bool:
    """Whether the picture with this hash is one of ours that has a mark."""
    marked = select(Image.id).where(Image.sha256 == sha256, Image.mark.is_not(None)).limit(1)
    async with database.read() as session:
        return await session.scalar(marked) is not None


async def of_marks(database: Database, numbers: Sequence[int]) -> dict[int, tuple[Job, int, int]]:
    """The newest request of each number, with the picture's number there (from 1), and 0 bits of difference."""
    rows = select(Image.mark, Job, Image.position).join(Job, Job.id == Image.job_id).order_by(Image.id)
    async with database.read() as session:
        found = await session.execute(rows.where(Image.mark.in_(numbers), Image.mark.is_not(None)))
        return {mark: (job, position + 1, 0) for mark, job, position in found if mark and job.deleted_at is None}


async def most_alike(database: Database, phash: str, bits: int) -> tuple[Job, int, int] | None:
    """The request of the newest pictures whose hash differs least, and in how many bits; None over ``bits``."""
    kept = select(Image.id, Image.phash).join(Job, Job.id == Image.job_id)
    kept = kept.where(Image.phash.is_not(None), Job.deleted_at.is_(None), Job.kind.not_in(ABOUT_PICTURES))
    async with database.read() as session:
        rows = (await session.execute(kept.order_by(Image.id.desc()).limit(MOST_COMPARED))).all()
        nearest = await asyncio.to_thread(_nearest, phash, [(number, other) for number, other in rows if other])
        if nearest is None or nearest[0] > bits:
            return None
        whole = select(Job, Image.position).join(Image, Image.job_id == Job.id).where(Image.id == nearest[1])
        job, position = (await session.execute(whole)).one()
        return job, position + 1, nearest[0]


def _nearest(phash: str, rows: Sequence[tuple[int, str]]) -> tuple[int, int] | None:
    return min(((distance(phash, other), number) for number, other in rows), default=None)
