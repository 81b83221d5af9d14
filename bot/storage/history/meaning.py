"""Semantic search: the thread of the embedder, the signs in memory, and the nearest requests."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from limner.bot.background import Lanes, at_leisure, patiently, to_its_end
from limner.bot.errors import UserError
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import Embeddings, SearchScope, Signs, Words
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.storage.history.signs import CANDIDATES, LIKELY, MOST_SIGNS, GrowingSigns, nearest_signs, products
from limner.bot.translation import N_
from limner.generators.embedders import TextEmbedder, Vectors
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

GROUP = "limner.embedders"
OFF = "off"
LEAST_LIKENESS = 0.45
"""The cosine from which two texts are about the same thing."""
AT_ONCE, PIECE = 64, 8
"""Requests whose embeddings are written together, and read by the embedder before it may answer a search."""
FEW = 400
"""Requests that are left by filters whose embeddings are all compared."""
READ_AT_ONCE = 500
"""Embeddings whose signs one statement reads; the event loop goes on between two of them."""
POLL_SECONDS = 2.0
BY_MEANING = N_("Words are stored encrypted here, so a search finds by meaning only.")
RANK = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

T = TypeVar("T")


class Meaning:
    """Finds requests by what their words mean.

    The embedder works in a thread of its own and is loaded when it is first needed. Without it nothing is found.
    """

    def __init__(self, database: Database, embedder: str) -> None:
        self._database = database
        self.rows = Embeddings(database, embedder)
        self._name = embedder
        self._embedder: TextEmbedder | None = None
        self._is_missing = embedder == OFF
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limner-meaning")
        self._signs: OrderedDict[SearchScope, GrowingSigns] = OrderedDict()
        self._reading = asyncio.Lock()
        self._readings = Lanes(1)
        self._pause = 0.0

    async def fill(self) -> None:
        """Write the embeddings of painted requests that have none, the newest first, until cancelled."""
        await patiently(lambda: to_its_end(self.rows.mark_others()))
        while not self._is_missing:
            await to_its_end(self._try_some())
            await asyncio.sleep(self._pause)

    async def _try_some(self) -> None:
        self._pause = POLL_SECONDS
        try:
            if await self.fill_some():
                self._pause = 0.0
        except UserError as error:
            log.warning("embedding_waits code=%s", error.code)
        except Exception as error:
            log.error("embedding_failed reason=%s", error_site(error))

    async def fill_some(self) -> int:
        """Write the next few; returns how many were missing."""
        some = await self.rows.missing(AT_ONCE)
        vectors: dict[int, NDArray[np.float32]] = {}
        for first in range(0, len(some), PIECE):
            piece = some[first : first + PIECE]
            found = await self._run(lambda embedder, piece=piece: _of_words(embedder, piece))
            if found is None:
                return 0
            vectors |= {words.job_id: vector for words, vector in zip(piece, found, strict=True)}
        await self.rows.write(vectors)
        return len(some)

    async def wanted(self, gallery: Gallery, wanted: Filter, limit: int) -> list[int]:
        """The requests that filters want and whose words mean about the same as theirs, the nearest first.

        If the filters leave few, all of these are compared, else the nearest of the scope are held against them.
        """
        filters, scope = replace(wanted, words=""), SearchScope(wanted.user_id, wanted.guild_id)
        few = await gallery.requests(filters, FEW) if filters.is_narrow else None
        if few is not None and len(few) < FEW:
            return await self.nearest(scope, wanted.words, limit, among=few)
        nearest = await self.nearest(scope, wanted.words, CANDIDATES if filters.is_narrow else limit)
        return (await gallery.filtered(filters, nearest))[:limit]

    async def nearest(
        self, scope: SearchScope, words: str, limit: int, *, among: Sequence[int] | None = None
    ) -> list[int]:
        """The requests of a scope, or among some, whose words mean about the same, the nearest first."""
        asked = await self._run(lambda embedder: embedder.embed([words])[0])
        return [] if asked is None else await self._nearest_to(scope, asked, limit, among)

    async def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of the two texts of each pair; nothing without the embedder."""
        found: list[float] = []
        for first in range(0, len(pairs), PIECE):
            texts = [text for pair in pairs[first : first + PIECE] for text in pair]
            vectors = await self._run(lambda embedder, texts=texts: embedder.embed(texts))
            if vectors is None:
                return []
            found += (vectors[::2] * vectors[1::2]).sum(1).tolist()
        return found

    async def like(self, scope: SearchScope, job_id: int, limit: int) -> list[int]:
        """The requests whose words mean about the same as those of one, which is left out."""
        found, vectors = await self.rows.vectors([job_id])
        if not found:
            return []
        asked = vectors[0] / max(float(np.linalg.norm(vectors[0])), 1e-9)
        nearest = await self._nearest_to(scope, asked.astype(np.float32), limit + 1)
        return [number for number in nearest if number != job_id][:limit]

    async def _nearest_to(
        self, scope: SearchScope, asked: NDArray[np.float32], limit: int, among: Sequence[int] | None = None
    ) -> list[int]:
        if among is None:
            signs = await self._signs_for(scope, asked)
            among = await asyncio.to_thread(nearest_signs, signs, asked, max(limit, CANDIDATES))
        job_ids, vectors = await self.rows.vectors(among)
        if not job_ids:
            return []
        likeness = products(vectors, asked) / np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
        order = np.argsort(-likeness, kind="stable")[:limit]
        return [job_ids[place] for place in order if likeness[place] >= LEAST_LIKENESS]

    @property
    def is_missing(self) -> bool:
        """Whether there is no embedder, as far as is known."""
        return self._is_missing

    async def close(self) -> None:
        """End the thread, and what is read in the background."""
        await self._readings.close(0)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _signs_for(self, scope: SearchScope, asked: NDArray[np.float32]) -> Signs:
        """A scope's signs in memory, or the nearest of them by Postgres.

        Postgres compares those of a small scope as quickly, and those of a large one until they are read, which takes
        seconds. It cannot where they may be encrypted.
        """
        if self._database.is_sqlite or self._database.cipher.keys or scope in self._signs:
            return await self.read_signs(scope)
        nearest = await self.rows.nearest_signs(scope, asked, LIKELY)
        if len(nearest.ids) == LIKELY:
            self._readings.begin(0, "reading-signs", lambda: at_leisure(lambda: self.read_signs(scope)))
        return nearest

    async def read_signs(self, scope: SearchScope) -> Signs:
        """Read the signs of a scope into memory, with those that were written since the last search of it."""
        async with self._reading:
            known = self._signs.pop(scope, None) or GrowingSigns()
            while len((new := await self.rows.signs(scope, known.signs.last, READ_AT_ONCE)).ids):
                known.add(new)
            self._signs[scope] = known
            while len(self._signs) > 1 and sum(len(one.signs.ids) for one in self._signs.values()) > MOST_SIGNS:
                self._signs.popitem(last=False)
            return known.signs

    async def _run(self, work: Callable[[TextEmbedder], T]) -> T | None:
        """Work with the embedder in its thread; None if there is none."""
        if self._is_missing:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with_embedder, work)

    def _with_embedder(self, work: Callable[[TextEmbedder], T]) -> T | None:
        if self._embedder is None and not self._is_missing:
            try:
                self._embedder = load_embedder(self._name)
            except ImportError:
                self._is_missing = True
                log.warning("embedder_missing embedder=%s; limner doctor says how to install it", self._name)
        return work(self._embedder) if self._embedder else None


def load_embedder(name: str) -> TextEmbedder:
    """The embedder of that name; raises ImportError if it, or a package that it needs, is not installed."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise ImportError(name)
    return found[name].load().create()


def merged(*lists: Sequence[int]) -> list[int]:
    """Several rankings as one: each adds 1 / (60 + rank) to what it names (Cormack et al. 2009)."""
    scores: dict[int, float] = {}
    for ranking in lists:
        for rank, number in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (RANK + rank)
    return sorted(scores, key=lambda number: -scores[number])


def _of_words(embedder: TextEmbedder, some: Sequence[Words]) -> Vectors:
    """One vector for each request: between its idea and its prompt where both say something."""
    pairs = [(words.idea or words.prompt, words.prompt or words.idea) for words in some]
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    return np.stack([vectors[first] + vectors[second] for first, second in pairs])
