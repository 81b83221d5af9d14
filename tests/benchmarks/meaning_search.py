"""Search by meaning among the prompts of one member: how often paraphrases find theirs, and how long that takes.

`python -m tests.benchmarks.meaning_search 100000 1000000` measures these sizes; without, the first of them. The first
run takes one to two minutes longer, because it makes the vectors of all prompts; later ones read them from a file in
the folder for temporary files.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from sqlalchemy import text as sql

from limner.bot.queue.enqueue import row
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import Embeddings, SearchScope, packed, small
from limner.bot.storage.history.meaning import Meaning, load_embedder
from limner.bot.storage.history.signs import CANDIDATES, LIKELY
from limner.bot.storage.tables.embedding_tables import Embedding
from limner.bot.storage.tables.models import Job
from limner.generators.embedders import TextEmbedder, Vectors
from limner.generators.training.doodle.pictograms import read_nouns
from tests.benchmarks.databases import KINDS, new_database, stop_indexing, write_rows
from tests.benchmarks.figures import share, show
from tests.rows import new_job

EMBEDDER = "sentence-encoder"
PROMPTS = 100_000
"""Prompts that are embedded; more are these again, with noise."""
NOISE = 0.03
FIRST = 10
FIRST_SEARCHES = 50
"""Searches whose signs Postgres compares itself."""
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
    """Print the table."""
    sizes = tuple(map(int, sys.argv[1:])) or (PROMPTS,)
    lines = (Path(__file__).parent / "paraphrases.tsv").read_text("utf-8").splitlines()
    ideas, *asked = zip(*(line.split("\t") for line in lines if not line.startswith("#")), strict=True)
    embedded, told = _vectors([*ideas, *_prompts(PROMPTS - len(ideas))])
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        vectors = _more(embedded, size)
        plain = [[_plain(vectors, number, text) for number, text in enumerate(texts)] for texts in asked]
        for name in KINDS:
            found = asyncio.run(_measure(name, vectors, asked, plain))
            rows += [(name, f"{size:,}", *line) for line in found]
    show(
        f"{len(ideas)} ideas asked for in four languages among the prompts of one member",
        (
            "database",
            "prompts",
            "asked in",
            f"plain search: among the first {FIRST}",
            "found of those",
            "ms, median / 99 %",
        ),
        rows,
        f"Plain search compares with every full vector. {LIKELY} are likely by 512 signs, {CANDIDATES} of them by "
        f"their signs and the numbers asked for; these by one byte a number. The time is that of a search with "
        f"the embedding of its words. {told}",
    )


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


def _more(vectors: Vectors, size: int) -> Vectors:
    """So many vectors: those that are known, then the same with noise."""
    chance, made = np.random.default_rng(0), [vectors[:size]]
    for start in range(len(vectors), size, len(vectors)):
        again = vectors[: size - start]
        noisy = again + NOISE * chance.standard_normal(again.shape, np.float32)
        made.append(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
    return np.concatenate(made)


def _plain(vectors: Vectors, number: int, text: str) -> bool:
    """Whether the right one is among the first ten by its full vector."""
    likeness = vectors @ _embedder().embed([text])[0]
    return number in np.argpartition(-likeness, FIRST)[:FIRST]


async def _measure(
    name: str, vectors: Vectors, asked: Sequence[Sequence[str]], plain: Sequence[Sequence[bool]]
) -> list[tuple[str, ...]]:
    async with new_database(name) as database:
        meaning = Meaning(database, EMBEDDER)
        await stop_indexing(database)
        await _fill(database, vectors)
        if not database.is_sqlite:
            await _compare_in_postgres(database, vectors)
        began = time.perf_counter()
        await meaning.read_signs(SearchScope(user_id=1))
        print(f"{name}: {len(vectors):,} signs are read in {time.perf_counter() - began:.2f} s", flush=True)
        await meaning.nearest(SearchScope(user_id=1), "the first search loads the embedder", FIRST)
        lines = [
            (language, *await _ask(meaning, texts, exact))
            for language, texts, exact in zip(LANGUAGES, asked, plain, strict=True)
        ]
        await meaning.close()
    return lines


async def _compare_in_postgres(database: Database, vectors: Vectors) -> None:
    """Print how long Postgres takes to compare all signs itself, without pgvector and with it."""
    rows, vacuum = Embeddings(database, EMBEDDER), sql("VACUUM ANALYZE embeddings")
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(vacuum)
    for how in ("bit_count", "pgvector"):
        seconds = list[float]()
        for vector in vectors[:FIRST_SEARCHES]:
            began = time.perf_counter()
            await rows.nearest_signs(SearchScope(user_id=1), vector, LIKELY)
            seconds.append(time.perf_counter() - began)
        times = f"{1000 * share(seconds, 0.5):.1f} / {1000 * share(seconds, 0.99):.1f}"
        print(f"Postgres compares {len(vectors):,} signs by {how} in {times} ms", flush=True)
        async with database.begin() as session:
            await session.execute(sql("CREATE EXTENSION IF NOT EXISTS vector"))


async def _ask(meaning: Meaning, texts: Sequence[str], plain: Sequence[bool]) -> tuple[str, str, str]:
    found, seconds = 0, list[float]()
    for number, (text, is_exact) in enumerate(zip(texts, plain, strict=True)):
        began = time.perf_counter()
        nearest = await meaning.nearest(SearchScope(user_id=1), text, FIRST)
        seconds.append(time.perf_counter() - began)
        found += is_exact and number + 1 in nearest
    times = f"{1000 * share(seconds, 0.5):.1f} / {1000 * share(seconds, 0.99):.1f}"
    return f"{sum(plain) / len(texts):.2f}", f"{found / max(1, sum(plain)):.3f}", times


async def _fill(database: Database, vectors: Vectors) -> None:
    """A painted request for each vector, with the vector's place as its number, counted from 1."""
    new = row(new_job()) | {"status": "succeeded", "turn": 0.0, "embedded_by": EMBEDDER}
    whose = {"user_id": 1, "guild_id": None, "embedder": EMBEDDER}
    for at in range(0, len(vectors), AT_ONCE):
        some = vectors[at : at + AT_ONCE]
        ids = range(at + 1, at + 1 + len(some))
        rows = zip(ids, packed(some), small(some), strict=True)
        async with database.begin() as session:
            await write_rows(session, Job.metadata.tables["jobs"], [new | {"id": number} for number in ids])
            written = [
                whose | {"job_id": job, "signs": signs.tobytes(), "vector": one.tobytes()} for job, signs, one in rows
            ]
            await write_rows(session, Embedding.metadata.tables["embeddings"], written)


if __name__ == "__main__":
    main()
