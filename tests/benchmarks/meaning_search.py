"""Search by meaning among 10^5 prompts of one member: how often paraphrases find theirs, and how long that takes.

The first run takes one to two minutes longer, because it makes the vectors of all prompts; later ones read them from a
file in the folder for temporary files.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from limner.bot.queue.enqueue import row
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import SearchScope, Signs, packed, small
from limner.bot.storage.history.meaning import CANDIDATES, Meaning, load_embedder, nearest_signs
from limner.bot.storage.tables.embedding_tables import Embedding
from limner.bot.storage.tables.models import Job
from limner.generators.embedders import TextEmbedder, Vectors
from limner.generators.training.doodle.pictograms import read_nouns
from tests.benchmarks.databases import KINDS, new_database, stop_indexing
from tests.benchmarks.figures import share, show
from tests.rows import new_job

EMBEDDER = "sentence-encoder"
PROMPTS, EVERYBODYS = 100_000, 1_000_000
FIRST = 10
AT_ONCE = 2_000
LANGUAGES = ("English", "Chinese", "German", "French")
LOOKS = "old small golden broken giant wooden blue red tired happy ancient shiny wild quiet burning frozen green tiny"
DOING = (
    *("sleeping", "dancing", "next to a {}", "holding a {}", "made of glass", "painted like a {}", "chasing a {}"),
    *("with a {}", "inside a {}", "looking at a {}", "in the shape of a {}", "guarding a {}"),
)
PLACES = (
    *("on a hill", "in the rain", "at night", "under the sea", "in a kitchen", "on the moon", "in a forest"),
    *("at sunset", "in the fog", "on a bridge", "beside a river", "in a market", "on a rooftop", "in a garden"),
    *("in the desert", "by the fire", "in outer space", "on a mountain", "in a museum", "on a train"),
)
STYLES = ("", ", oil painting", ", watercolour", ", photo, 85mm", ", pixel art", ", soft light, highly detailed")


def main() -> None:
    """Print both tables."""
    lines = (Path(__file__).parent / "paraphrases.tsv").read_text("utf-8").splitlines()
    ideas, *asked = zip(*(line.split("\t") for line in lines if not line.startswith("#")), strict=True)
    vectors, told = _vectors([*ideas, *_prompts(PROMPTS - len(ideas))])
    rows = [line for name in KINDS for line in asyncio.run(_measure(name, vectors, asked))]
    show(
        f"{len(ideas)} ideas asked for in four languages among {PROMPTS:,} prompts of one member",
        ("database", "asked in", f"plain search: among the first {FIRST}", "found of those", "ms, median / 99 %"),
        rows,
        f"Plain search compares with every full vector. Nearest by 512 signs, then {CANDIDATES} by one byte a number; "
        f"the time is that of a search with the embedding of its words. {told}",
    )
    print(f"The signs of {EVERYBODYS:,} requests are compared in {_everybody():.1f} ms.")


def _prompts(count: int) -> list[str]:
    """Different prompts made of nouns, looks, places and styles."""
    made, chance, nouns = dict[str, None](), random.Random(0), [noun.name for noun in read_nouns()]
    while len(made) < count:
        what = f"a {chance.choice(LOOKS.split())} {chance.choice(nouns)}"
        doing = chance.choice(DOING).format(chance.choice(nouns))
        made[f"{what} {doing} {chance.choice(PLACES)}{chance.choice(STYLES)}"] = None
    return list(made)


def _vectors(prompts: Sequence[str]) -> tuple[Vectors, str]:
    """The vectors of the prompts, and how quickly they were made; kept in a file, because that takes minutes."""
    key = hashlib.sha256("\n".join((EMBEDDER, *prompts)).encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"limner-bench-{key}.npy"
    if kept.exists():
        return np.load(kept), "The vectors were made before."
    began, pieces = time.perf_counter(), [prompts[at : at + AT_ONCE] for at in range(0, len(prompts), AT_ONCE)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        vectors = np.concatenate(list(pool.map(_embedded, pieces)))
    np.save(kept, vectors)
    return vectors, f"Embedded at {len(prompts) / (time.perf_counter() - began):.0f} prompts a second."


def _embedded(prompts: Sequence[str]) -> Vectors:
    return _embedder().embed(prompts)


@cache
def _embedder() -> TextEmbedder:
    """One for each process."""
    return load_embedder(EMBEDDER)


async def _measure(name: str, vectors: Vectors, asked: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    async with new_database(name) as database:
        meaning = Meaning(database, EMBEDDER)
        await stop_indexing(database)
        await _fill(database, vectors)
        await meaning.nearest(SearchScope(user_id=1), "the first search reads the signs", FIRST)
        lines = [
            (name, language, *await _ask(meaning, vectors, texts))
            for language, texts in zip(LANGUAGES, asked, strict=True)
        ]
        meaning.close()
    return lines


async def _ask(meaning: Meaning, vectors: Vectors, texts: Sequence[str]) -> tuple[str, str, str]:
    exact, found, seconds = 0, 0, list[float]()
    for number, text in enumerate(texts):
        likeness = vectors @ _embedder().embed([text])[0]
        is_exact = number in np.argpartition(-likeness, FIRST)[:FIRST]
        began = time.perf_counter()
        nearest = await meaning.nearest(SearchScope(user_id=1), text, FIRST)
        seconds.append(time.perf_counter() - began)
        exact += is_exact
        found += is_exact and number + 1 in nearest
    times = f"{1000 * share(seconds, 0.5):.1f} / {1000 * share(seconds, 0.99):.1f}"
    return f"{exact / len(texts):.2f}", f"{found / max(1, exact):.3f}", times


async def _fill(database: Database, vectors: Vectors) -> None:
    """A painted request for each vector, with the vector's place as its number, counted from 1."""
    new = row(new_job()) | {"status": "succeeded", "turn": 0.0, "embedded_by": EMBEDDER}
    whose = {"user_id": 1, "guild_id": None, "embedder": EMBEDDER}
    for at in range(0, len(vectors), AT_ONCE):
        some = vectors[at : at + AT_ONCE]
        ids = range(at + 1, at + 1 + len(some))
        rows = zip(ids, packed(some), small(some), strict=True)
        async with database.begin() as session:
            await session.execute(insert(Job.metadata.tables["jobs"]), [new | {"id": number} for number in ids])
            written = [
                whose | {"job_id": job, "signs": signs.tobytes(), "vector": one.tobytes()} for job, signs, one in rows
            ]
            await session.execute(insert(Embedding.metadata.tables["embeddings"]), written)


def _everybody() -> float:
    """Milliseconds for the signs of many requests."""
    chance = np.random.default_rng(0)
    planes = chance.integers(0, 2**63, (8, EVERYBODYS), np.uint64)
    signs, seconds = Signs(np.arange(EVERYBODYS), planes, EVERYBODYS), list[float]()
    for _ in range(20):
        asked = chance.integers(0, 2**63, 8, np.uint64)
        began = time.perf_counter()
        nearest_signs(signs, asked, CANDIDATES)
        seconds.append(time.perf_counter() - began)
    return 1000 * share(seconds, 0.5)


if __name__ == "__main__":
    main()
