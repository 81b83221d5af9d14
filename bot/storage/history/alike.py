"""Pictures that look alike, by the image-text model's embeddings; its picture tower runs in the worker only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import select

from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.tables.models import Image, Job

NEWEST = 4_000
"""The newest pictures of a scope that are compared; others only if their words are alike."""


class Alike:
    """Compares stored embeddings; nothing is found without an image-text model."""

    def __init__(self, database: Database, reader: str) -> None:
        self._database = database
        self._reader = reader

    async def nearest(
        self, scope: SearchScope, job_id: int, position: int, among: Sequence[int], limit: int
    ) -> list[int]:
        """The requests with the pictures that look most like one, of the newest ones and ``among`` more."""
        if not self._reader:
            return []
        features = select(Image.features).where(Image.features_by == self._reader)
        whose = Job.user_id == scope.user_id if scope.user_id is not None else Job.guild_id == scope.guild_id
        mine = select(Job.id).where(whose, Job.status == JobStatus.SUCCEEDED, Job.deleted_at.is_(None))
        newest = mine.order_by(Job.id.desc()).limit(NEWEST).subquery()
        found = select(Image.job_id, Image.features).where(Image.features_by == self._reader)
        async with self._database.read() as session:
            asked = await session.scalar(features.where(Image.job_id == job_id, Image.position == position))
            if asked is None:
                return []
            rows = (await session.execute(found.where(Image.job_id.in_(select(newest.c.id))))).all()
            rows = [*rows, *await session.execute(found.where(Image.job_id.in_(among)))]
        return await asyncio.to_thread(_ranked, asked, rows, job_id, limit)


def _ranked(asked: bytes, rows: Sequence[Any], job_id: int, limit: int) -> list[int]:
    """The requests of the rows by the cosine of their nearest picture, without one."""
    others = [row for row in rows if row[0] != job_id and len(row[1]) == len(asked)]
    if not others:
        return []
    vectors = np.frombuffer(b"".join(row[1] for row in others), np.int8).reshape(len(others), -1).astype(np.float32)
    wanted = np.frombuffer(asked, np.int8).astype(np.float32)
    likeness = vectors @ wanted / np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    order = np.argsort(-likeness, kind="stable")
    return list(dict.fromkeys(others[place][0] for place in order))[:limit]
