"""Embeddings of pictures as rows: which are missing, and writing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, update

from limner.bot.reasons import JobKind
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Image, Job

CHANGED_AT_ONCE = 5_000
"""Pictures with another model's embedding that one transaction marks as missing one."""


@dataclass(frozen=True)
class Missing:
    """A picture without an embedding: its number and its file."""

    id: int
    sha256: str


class PictureEmbeddings:
    """The embeddings of pictures by one image-text model."""

    def __init__(self, database: Database, model: str) -> None:
        self._database = database
        self._model = model

    async def missing(self, limit: int) -> Sequence[Missing]:
        """The newest pictures without one."""
        found = select(Image.id, Image.sha256).join(Job, Job.id == Image.job_id)
        found = found.where(*_is_missing())
        async with self._database.read() as session:
            rows = await session.execute(found.order_by(Image.id.desc()).limit(limit))
            return [Missing(*row) for row in rows]

    async def count_missing(self) -> int:
        """How many pictures have none."""
        async with self._database.read() as session:
            found = select(func.count()).select_from(Image).join(Job, Job.id == Image.job_id).where(*_is_missing())
            return await session.scalar(found) or 0

    async def write(self, features: Mapping[int, bytes | None]) -> None:
        """Write embeddings by the pictures' numbers; None for a file that cannot be read, which is not tried again."""
        async with self._database.begin(survives_power_cut=False) as session:
            for number, embedding in features.items():
                values = {"features": embedding, "features_by": self._model}
                await session.execute(update(Image).where(Image.id == number).values(**values))

    async def mark_others(self) -> None:
        """Mark the pictures whose embedding is of another model as missing one."""
        others = select(Image.id).where(Image.features_by != self._model).limit(CHANGED_AT_ONCE)
        ids: Sequence[int] | None = None
        while ids is None or len(ids) == CHANGED_AT_ONCE:
            async with self._database.read() as session:
                ids = (await session.scalars(others)).all()
            if ids:
                async with self._database.begin() as session:
                    forgotten = {"features": None, "features_by": None}
                    await session.execute(update(Image).where(Image.id.in_(ids)).values(**forgotten))


def _is_missing() -> tuple[ColumnElement[bool], ...]:
    """The sheets of explanations need none."""
    return Image.features_by.is_(None), Job.deleted_at.is_(None), Job.kind != JobKind.EXPLAIN
