"""Embeddings as rows: which are missing, and reading and writing them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, delete, func, insert, select, text, update

from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.tables.embedding_tables import Embedding
from limner.bot.storage.tables.encrypted import as_stored
from limner.bot.storage.tables.models import UNEMBEDDED, Job
from limner.generators.embedders import Vectors

CHANGED_AT_ONCE = 5_000
"""Rows of another embedder that one transaction marks as missing."""


@dataclass(frozen=True)
class Words:
    """The words of a painted request without an embedding."""

    job_id: int
    idea: str
    prompt: str


@dataclass(frozen=True)
class SearchScope:
    """Whose requests are searched: one member's or one server's; neither: everybody's."""

    user_id: int | None = None
    guild_id: int | None = None


@dataclass(frozen=True)
class Signs:
    """The signs of embeddings in the order in which they were written, with the numbers of requests or pictures."""

    ids: NDArray[np.int64]
    #: 64 signs of every embedding in each row, so that a row is compared at once.
    planes: NDArray[np.uint64]
    #: The number of the last of them.
    last: int


class Embeddings:
    """The rows of embeddings of one embedder."""

    def __init__(self, database: Database, embedder: str) -> None:
        self._database = database
        self._embedder = embedder

    async def missing(self, limit: int) -> Sequence[Words]:
        """The newest painted requests without an embedding."""
        found = select(Job.id, Job.idea, Job.prompt).where(text(UNEMBEDDED)).order_by(Job.id.desc()).limit(limit)
        async with self._database.read() as session:
            return [Words(row.id, row.idea, row.prompt or "") for row in await session.execute(found)]

    async def count_missing(self) -> int:
        """How many painted requests have none."""
        async with self._database.read() as session:
            return await session.scalar(select(func.count()).select_from(Job).where(text(UNEMBEDDED))) or 0

    async def write(self, vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Write the embeddings of requests by their numbers; those that were deleted meanwhile get none."""
        still = select(Job.id, Job.user_id, Job.guild_id).where(Job.id.in_(vectors), text(UNEMBEDDED))
        async with self._database.begin(survives_power_cut=False) as session:
            jobs = (await session.execute(still.with_for_update())).all()
            if not jobs:
                return
            ids = [job.id for job in jobs]
            await session.execute(delete(Embedding).where(Embedding.job_id.in_(ids)))
            rows = [
                {
                    "job_id": job.id,
                    "user_id": job.user_id,
                    "guild_id": job.guild_id,
                    "embedder": self._embedder,
                    "signs": packed(vectors[job.id]).tobytes(),
                    "vector": small(vectors[job.id]).tobytes(),
                }
                for job in jobs
            ]
            await session.execute(insert(Embedding), rows)
            await session.execute(update(Job).where(Job.id.in_(ids)).values(embedded_by=self._embedder))

    async def mark_others(self) -> None:
        """Mark the requests whose embedding is of another embedder as missing one."""
        others = select(Job.id).where(Job.embedded_by != self._embedder).limit(CHANGED_AT_ONCE)
        ids: Sequence[int] | None = None
        while ids is None or len(ids) == CHANGED_AT_ONCE:
            async with self._database.read() as session:
                ids = (await session.scalars(others)).all()
            async with self._database.begin() as session:
                await session.execute(update(Job).where(Job.id.in_(ids)).values(embedded_by=None))

    async def signs(self, scope: SearchScope, after: int, most: int) -> Signs:
        """The signs of a scope's embeddings after a number, the first ``most``."""
        found = select(Embedding.id, Embedding.job_id, as_stored(Embedding.signs))
        found = found.where(Embedding.id > after, Embedding.embedder == self._embedder)
        if scope.user_id is not None:
            found = found.where(Embedding.user_id == scope.user_id)
        if scope.guild_id is not None:
            found = found.where(Embedding.guild_id == scope.guild_id)
        async with self._database.read() as session:
            rows = (await session.execute(found.order_by(Embedding.id).limit(most))).all()
        return await asyncio.to_thread(_signs_of, rows, self._database.cipher, after)

    async def vectors(self, job_ids: Sequence[int]) -> tuple[Sequence[int], Vectors]:
        """The vectors of those requests that still have one, with their numbers."""
        found = select(Embedding.job_id, Embedding.vector).where(Embedding.job_id.in_(job_ids))
        found = found.where(Embedding.embedder == self._embedder)
        async with self._database.read() as session:
            rows = (await session.execute(found)).all()
        numbers = np.frombuffer(b"".join(row[1] for row in rows), np.int8).astype(np.float32)
        return [row[0] for row in rows], numbers.reshape(len(rows), -1) if rows else numbers


def _signs_of(rows: Sequence[Row[int, int, bytes]], cipher: Cipher, after: int) -> Signs:
    """The signs of stored rows, decrypted; ``after`` is the number before the first of them."""
    job_ids = np.fromiter((row[1] for row in rows), np.int64, len(rows))
    signs = np.frombuffer(b"".join(cipher.decrypt(row[2]) for row in rows), np.uint8)
    planes = as_planes(signs.reshape(len(rows), -1)) if rows else np.zeros((0, 0), np.uint64)
    return Signs(job_ids, planes, rows[-1][0] if rows else after)


def packed(vectors: Vectors | NDArray[np.int8]) -> NDArray[np.uint8]:
    """The signs of the numbers, eight in a byte."""
    return np.packbits(vectors > 0, axis=-1)


def as_planes(signs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Rows of packed signs as `Signs.planes`, filled up with zeros."""
    whole = np.pad(signs, ((0, 0), (0, -signs.shape[1] % 8)))
    return np.ascontiguousarray(whole.view(np.uint64).T)


def small(vectors: Vectors) -> NDArray[np.int8]:
    """The vectors with their largest number as 127, one byte for each."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return np.rint(vectors * (127 / np.maximum(largest, 1e-9))).astype(np.int8)
