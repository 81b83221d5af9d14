"""The signs of embeddings in memory, and the requests whose signs are nearest to a vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limner.bot.storage.history.embeddings import Signs, as_planes, packed

MOST_SIGNS = 1_048_576
"""Embeddings whose signs are in memory, of all scopes together and of one: 64 bytes and a number each, 75 MB."""
LIKELY, CANDIDATES = 1_000, 160
"""Embeddings whose signs differ least, and those of them whose signs are nearest to the vector's own numbers."""
LEAST_ROOM = 4_096


class GrowingSigns:
    """The signs of one scope, with room for more: new ones are written behind the others, which are not copied."""

    def __init__(self, most: int = MOST_SIGNS) -> None:
        self.signs = Signs(np.zeros(0, np.int64), np.zeros((0, 0), np.uint64), 0)
        """Those that are there now; adding more changes nothing in it."""
        self._most = most
        self._room = self.signs

    def add(self, new: Signs) -> None:
        """Add embeddings, fewer than ``most``; where they are too many, the oldest sixteenth makes room."""
        known, more = self.signs, len(new.ids)
        if more and len(known.ids) + more > len(self._room.ids):
            if len(known.ids) + more > self._most:
                first = len(known.ids) - max(0, self._most - self._most // 16 - more)
                known = Signs(known.ids[first:], known.planes[:, first:], known.last)
            self._room = self._copied(known, len(known.ids) + more, len(new.planes))
        start, end = len(known.ids), len(known.ids) + more
        self._room.ids[start:end], self._room.planes[:, start:end] = new.ids, new.planes
        self.signs = Signs(self._room.ids[:end], self._room.planes[:, :end], new.last)

    def _copied(self, known: Signs, count: int, planes: int) -> Signs:
        """The known ones with room for a quarter more than ``count``."""
        room = min(self._most, max(LEAST_ROOM, count * 5 // 4))
        copied = Signs(np.empty(room, np.int64), np.empty((planes, room), np.uint64), known.last)
        if some := len(known.ids):
            copied.ids[:some], copied.planes[:, :some] = known.ids, known.planes
        return copied


def nearest_signs(signs: Signs, asked: NDArray[np.float32], most: int) -> list[int]:
    """The requests or pictures that are likely to be nearest to a vector, in no order.

    The signs of the vector find some that differ in few places, its numbers the nearest of these.
    """
    if not len(signs.ids):
        return []
    likely = _fewest(_differences(signs.planes, as_planes(packed(asked[None]))[:, 0]), max(LIKELY, most))
    if len(likely) > most:
        known = np.unpackbits(np.ascontiguousarray(signs.planes[:, likely].T).view(np.uint8), axis=1)
        likeness = products(known[:, : len(asked)].astype(np.float32), asked)
        likely = likely[np.argpartition(-likeness, most)[:most]]
    return signs.ids[likely].tolist()


def products(rows: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scalar product of each row with a vector.

    By this thread alone: numpy's ``@`` shares even this little among threads, which wait for each other where the
    processors are busy.
    """
    return np.einsum("ij,j->i", rows, asked)


def _differences(planes: NDArray[np.uint64], asked: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """In how many signs each embedding differs."""
    differences = np.zeros(planes.shape[1], np.uint16)
    for plane, word in zip(planes, asked, strict=True):
        differences += np.bitwise_count(plane ^ word)
    return differences


def _fewest(differences: NDArray[np.uint16], most: int) -> NDArray[np.intp]:
    """The places of the smallest numbers, of equal ones the newest: ``most``, or all if there are fewer."""
    if len(differences) <= most:
        return np.arange(len(differences))
    bound = int(np.searchsorted(np.cumsum(np.bincount(differences)), most))
    below, at = np.flatnonzero(differences < bound), np.flatnonzero(differences == bound)
    return np.concatenate([below, at[len(at) - (most - len(below)) :]])
