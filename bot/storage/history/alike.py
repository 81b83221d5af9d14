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

from limner.bot.background import Lanes, at_leisure
from limner.bot.reasons import JobStatus
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import SearchScope, Signs, as_planes, packed
from limner.bot.storage.history.found import among
from limner.bot.storage.history.picture_embeddings import PictureEmbeddings
from limner.bot.storage.history.signs import CANDIDATES, MOST_SIGNS, nearest_signs, products
from limner.bot.storage.tables.encrypted import as_stored
from limner.bot.storage.tables.models import Image, Job

NEWEST = 200
"""Requests of a scope whose pictures are read for every search."""
KEPT_SECONDS = 600.0
"""How long signs are used before they are read again, with those that the worker has filled up meanwhile."""
READ_AT_ONCE = 500
"""Requests whose pictures one statement reads; the event loop goes on between two of them."""
END = 2**62
"""An id that no request has."""


@dataclass(frozen=True)
class PictureVectors:
    """Embeddings of pictures, a row of small integers each, with the pictures' and their requests' numbers."""

    ids: NDArray[np.int64]
    job_ids: NDArray[np.int64]
    vectors: NDArray[np.int8]


class Alike:
    """Compares stored embeddings; nothing is found without an image-text model.

    The signs of a scope's pictures are in memory; those that differ least, and the newest pictures, are compared by
    all their numbers.
    """

    def __init__(self, database: Database, reader: str) -> None:
        self._database = database
        self._reader = reader
        self.rows = PictureEmbeddings(database, reader)
        self._kept: OrderedDict[SearchScope, tuple[float, Signs]] = OrderedDict()
        self._first_reading = asyncio.Lock()
        self._readings = Lanes(1)

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
        size, wanted = len(asked), np.frombuffer(asked, np.int8).astype(np.float32)
        signs = await self._signs(scope, size)
        likely = await asyncio.to_thread(nearest_signs, signs, wanted, CANDIDATES)
        newest = self._of(_newest(scope, END, NEWEST))
        async with self._database.read() as session:
            parts = [
                await self._pictures(session, which, size)
                for which in (newest, Image.job_id.in_(others), Image.id.in_(likely))
            ]
        return await asyncio.to_thread(_ranked, wanted, parts, job_id, limit)

    async def close(self) -> None:
        """End what is read in the background."""
        await self._readings.close(0)

    async def _signs(self, scope: SearchScope, size: int) -> Signs:
        """The signs of a scope's pictures, from minutes ago; only the first search of a scope waits for them."""
        if scope not in self._kept:
            async with self._first_reading:
                if scope not in self._kept:
                    await self._read(scope, size)
        read_at, signs = self._kept[scope]
        if time.monotonic() - read_at > KEPT_SECONDS:
            self._readings.begin(0, "reading-picture-signs", lambda: at_leisure(lambda: self._read(scope, size)))
        return signs

    async def _read(self, scope: SearchScope, size: int) -> None:
        """Read a scope's signs, the newest first, and forget those of the scopes that were read longest ago."""
        pieces, before = list[Signs](), END
        while before and sum(len(piece.ids) for piece in pieces) < MOST_SIGNS:
            requests = _newest(scope, before, READ_AT_ONCE)
            async with self._database.read() as session:
                ids = (await session.scalars(requests)).all()
                pictures = await self._pictures(session, self._of(requests), size)
            pieces.append(await asyncio.to_thread(_signs_of, pictures))
            before = ids[-1] if len(ids) == READ_AT_ONCE else 0
        self._kept.pop(scope, None)
        self._kept[scope] = time.monotonic(), await asyncio.to_thread(_joined, pieces)
        while len(self._kept) > 1 and sum(len(signs.ids) for _at, signs in self._kept.values()) > MOST_SIGNS:
            self._kept.popitem(last=False)

    def _of(self, requests: Select[int]) -> ColumnElement[bool]:
        return among(Image.job_id, requests, is_sqlite=self._database.is_sqlite)

    async def _pictures(self, session: AsyncSession, which: ColumnElement[bool], size: int) -> PictureVectors:
        found = select(Image.id, Image.job_id, as_stored(Image.features)).where(
            Image.features_by == self._reader, Image.features.is_not(None), which
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


def _vectors_of(rows: Sequence[Row[int, int, bytes]], cipher: Cipher, size: int) -> PictureVectors:
    """The embeddings of so many numbers in stored rows, decrypted."""
    found = [(picture, job, cipher.decrypt(stored)) for picture, job, stored in rows]
    same = [one for one in found if len(one[2]) == size]
    vectors = np.frombuffer(b"".join(vector for _picture, _job, vector in same), np.int8).reshape(len(same), size)
    ids, jobs = (np.fromiter((one[place] for one in same), np.int64, len(same)) for place in (0, 1))
    return PictureVectors(ids, jobs, vectors)


def _signs_of(pictures: PictureVectors) -> Signs:
    return Signs(pictures.ids, as_planes(packed(pictures.vectors)), 0)


def _joined(pieces: Sequence[Signs]) -> Signs:
    """All of them as one."""
    return Signs(
        np.concatenate([piece.ids for piece in pieces]), np.concatenate([piece.planes for piece in pieces], axis=1), 0
    )


def _ranked(wanted: NDArray[np.float32], parts: Sequence[PictureVectors], job_id: int, limit: int) -> list[int]:
    """The requests by the cosine of their nearest picture, without one."""
    job_ids = np.concatenate([part.job_ids for part in parts])
    vectors = np.concatenate([part.vectors for part in parts]).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    order = np.argsort(-products(vectors, wanted) / np.maximum(lengths, 1e-9), kind="stable")
    ranked = dict.fromkeys(number for number in job_ids[order].tolist() if number != job_id)
    return list(ranked)[:limit]
