"""Pictures that look alike, by the image-text model's embeddings; its picture tower runs in the worker only."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.reasons import JobStatus
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.found import among
from limner.bot.storage.history.picture_embeddings import PictureEmbeddings
from limner.bot.storage.history.signs import products
from limner.bot.storage.tables.encrypted import as_stored
from limner.bot.storage.tables.models import Image, Job

NEWEST = 400
"""Requests of a scope whose pictures are read for every search."""
MOST = 65_536
"""Pictures of earlier requests that are in memory, of all scopes together and of one, the newest: 512 bytes each."""
KEPT_SECONDS = 600.0
"""How long they are kept before they are read again, with those that the worker has filled up meanwhile."""
READ_AT_ONCE = 500
"""Requests whose pictures one statement reads; the event loop goes on between two of them."""
COMPARED_AT_ONCE = 8_192
END = 2**62
"""An id that no request has."""


@dataclass(frozen=True)
class PictureVectors:
    """Embeddings of pictures, a row of small integers each, with the pictures' requests."""

    job_ids: NDArray[np.int64]
    vectors: NDArray[np.int8]


class Alike:
    """Compares stored embeddings; nothing is found without an image-text model."""

    def __init__(self, database: Database, reader: str) -> None:
        self._database = database
        self._reader = reader
        self.rows = PictureEmbeddings(database, reader)
        self._kept: OrderedDict[SearchScope, tuple[float, PictureVectors]] = OrderedDict()
        self._reading = asyncio.Lock()

    async def nearest(
        self, scope: SearchScope, job_id: int, position: int, others: Sequence[int], limit: int
    ) -> list[int]:
        """The requests with the pictures that look most like one, in its scope and among ``others``."""
        if not self._reader:
            return []
        features = select(Image.features).where(Image.features_by == self._reader)
        async with self._database.read() as session:
            asked = await session.scalar(features.where(Image.job_id == job_id, Image.position == position))
        if asked is None:
            return []
        earlier = await self._earlier(scope, len(asked))
        async with self._database.read() as session:
            newest = await self._pictures(session, _newest(scope, END, NEWEST), len(asked))
            more = await self._pictures(session, select(Job.id).where(Job.id.in_(others)), len(asked))
        return await asyncio.to_thread(_ranked, asked, (newest, more, earlier), job_id, limit)

    async def _earlier(self, scope: SearchScope, size: int) -> PictureVectors:
        """A scope's pictures with embeddings of so many numbers, from some minutes ago."""
        async with self._reading:
            read_at, pictures = self._kept.pop(scope, (-KEPT_SECONDS, _joined([], size)))
            if time.monotonic() - read_at > KEPT_SECONDS:
                read_at, pictures = time.monotonic(), await self._read(scope, size)
            self._kept[scope] = (read_at, pictures)
            while len(self._kept) > 1 and sum(len(kept.job_ids) for _at, kept in self._kept.values()) > MOST:
                self._kept.popitem(last=False)
            return pictures

    async def _read(self, scope: SearchScope, size: int) -> PictureVectors:
        pieces, before = list[PictureVectors](), END
        while before and sum(len(piece.job_ids) for piece in pieces) < MOST:
            requests = _newest(scope, before, READ_AT_ONCE)
            async with self._database.read() as session:
                ids = (await session.scalars(requests)).all()
                pieces.append(await self._pictures(session, requests, size))
            before = ids[-1] if len(ids) == READ_AT_ONCE else 0
        return await asyncio.to_thread(_joined, pieces, size)

    async def _pictures(self, session: AsyncSession, requests: Select[int], size: int) -> PictureVectors:
        is_theirs = among(Image.job_id, requests, is_sqlite=self._database.is_sqlite)
        found = select(Image.job_id, as_stored(Image.features)).where(
            Image.features_by == self._reader, Image.features.is_not(None), is_theirs
        )
        rows = (await session.execute(found)).all()
        return await asyncio.to_thread(_vectors_of, rows, self._database.cipher, size)


def _newest(scope: SearchScope, before: int, most: int) -> Select[int]:
    """The ids of a scope's painted requests before one, the newest first."""
    whose: ColumnElement[bool] = (
        Job.user_id == scope.user_id if scope.user_id is not None else Job.guild_id == scope.guild_id
    )
    mine = select(Job.id).where(whose, Job.status == JobStatus.SUCCEEDED, Job.deleted_at.is_(None), Job.id < before)
    return mine.order_by(Job.id.desc()).limit(most)


def _vectors_of(rows: Sequence[Row[int, bytes]], cipher: Cipher, size: int) -> PictureVectors:
    """The embeddings of so many numbers in stored rows, decrypted."""
    found = [(number, cipher.decrypt(stored)) for number, stored in rows]
    same = [(number, vector) for number, vector in found if len(vector) == size]
    vectors = np.frombuffer(b"".join(vector for _number, vector in same), np.int8).reshape(len(same), size)
    return PictureVectors(np.fromiter((number for number, _vector in same), np.int64, len(same)), vectors)


def _joined(pieces: Sequence[PictureVectors], size: int) -> PictureVectors:
    """All of them as one, at most as many as are kept."""
    job_ids = np.concatenate([np.zeros(0, np.int64), *(piece.job_ids for piece in pieces)])
    vectors = np.concatenate([np.zeros((0, size), np.int8), *(piece.vectors for piece in pieces)])
    return PictureVectors(job_ids[:MOST], vectors[:MOST])


def _ranked(asked: bytes, parts: Sequence[PictureVectors], job_id: int, limit: int) -> list[int]:
    """The requests by the cosine of their nearest picture, without one."""
    wanted = np.frombuffer(asked, np.int8).astype(np.float32)
    job_ids = np.concatenate([part.job_ids for part in parts])
    likeness = np.concatenate([_likeness(part.vectors, wanted) for part in parts])
    order = np.argsort(-likeness, kind="stable")
    ranked = dict.fromkeys(number for number in job_ids[order].tolist() if number != job_id)
    return list(ranked)[:limit]


def _likeness(vectors: NDArray[np.int8], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosines, apart from one factor."""
    likeness = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), COMPARED_AT_ONCE):
        some = vectors[start : start + COMPARED_AT_ONCE].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", some, some))
        likeness[start : start + COMPARED_AT_ONCE] = products(some, wanted) / np.maximum(lengths, 1e-9)
    return likeness
