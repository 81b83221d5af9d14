"""Postgres compares embeddings itself until their signs are in the bot's memory, with pgvector and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, insert, text

from limner.bot.queue.enqueue import row
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import Embeddings, SearchScope
from limner.bot.storage.history.meaning import Meaning
from limner.bot.storage.history.signs import LIKELY
from limner.bot.storage.tables.models import Job
from limner.generators.embedders import Vectors
from tests.rows import new_job

ADA, BOB = 1, 2
SERVER = 7


@pytest.fixture(params=[True, False], ids=["pgvector", "no pgvector"])
def has_pgvector(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
async def database(has_pgvector: bool, postgres_url: str) -> AsyncGenerator[Database]:
    made = Database(postgres_url)
    if has_pgvector:
        async with made.begin() as session:
            await session.execute(text("CREATE EXTENSION vector"))
    yield made
    await made.close()


async def embedded(database: Database, vectors: Vectors, user_id: int = ADA, embedder: str = "e") -> list[int]:
    """Painted requests with these embeddings."""
    new = row(new_job("a fox", user_id)) | {"status": "succeeded", "turn": 0.0, "guild_id": SERVER}
    async with database.begin() as session:
        ids = list(await session.scalars(insert(Job).returning(Job.id), [new for _ in vectors]))
    await Embeddings(database, embedder).write(dict(zip(sorted(ids), vectors, strict=True)))
    return sorted(ids)


def random_vectors(count: int, size: int = 72) -> Vectors:
    return np.random.default_rng(count).normal(size=(count, size)).astype(np.float32)


def statements_of(database: Database) -> list[str]:
    """The statements that it is given from now on."""
    given: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        given.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", remember)
    return given


async def test_the_nearest_of_a_scope_are_found_by_the_extension_if_it_is_there(
    database: Database, has_pgvector: bool
) -> None:
    vectors = random_vectors(40)
    ids = await embedded(database, vectors[:30])
    others = await embedded(database, vectors[30:], BOB)
    await embedded(database, vectors[:5], embedder="another")
    await embedded(database, random_vectors(5, 64))
    asked = vectors[3] + np.float32(0.2)
    given = statements_of(database)
    rows = Embeddings(database, "e")
    for scope, numbers in ((SearchScope(user_id=ADA), ids), (SearchScope(guild_id=SERVER), [*ids, *others])):
        found = await rows.nearest_signs(scope, asked, 6)
        differing = np.count_nonzero((vectors[: len(numbers)] > 0) != (asked > 0), axis=1)
        chosen = [int(differing[numbers.index(number)]) for number in found.ids]
        assert sorted(chosen) == sorted(differing)[:6]
        assert ids[3] in found.ids
    assert any("embeddings.bits <~>" in one for one in given) == has_pgvector
    assert any("bit_count" in one for one in given) != has_pgvector


async def test_signs_of_a_large_scope_are_read_into_memory_while_searches_go_on(database: Database) -> None:
    vectors = random_vectors(LIKELY + 5)
    ids, [lonely] = await embedded(database, vectors), await embedded(database, vectors[:1], BOB)
    meaning, given = Meaning(database, "e"), statements_of(database)

    def compared() -> int:
        return sum("embeddings.bits" in one for one in given)

    async def like(user_id: int, job_id: int) -> list[int]:
        return await meaning.like(SearchScope(user_id=user_id), job_id, 3)

    near = await embedded(database, vectors[7:8] + np.float32(0.1))
    assert (await like(ADA, ids[7]), compared()) == (near, 1)
    assert (await like(BOB, lonely), compared()) == ([], 2)
    assert len((await meaning.rows.nearest_signs(SearchScope(user_id=99), vectors[0], 3)).ids) == 0
    async with asyncio.timeout(20):
        before = -1
        while before != compared():
            before = compared()
            await like(ADA, ids[7])
    newer = await embedded(database, vectors[7:8] + np.float32(0.05))
    assert (await like(ADA, ids[7]), compared()) == ([*newer, *near], before)  # in memory, with those that came since
    assert (await like(BOB, lonely), compared()) == ([], before + 1)  # so few are not kept
    await meaning.close()


async def test_what_was_encrypted_is_compared_in_memory(postgres_url: str) -> None:
    vectors = random_vectors(3)
    database = Database(postgres_url, Cipher([bytes(32)]))
    ids = await embedded(database, vectors)
    [near] = await embedded(database, vectors[:1] + np.float32(0.1))
    meaning = Meaning(database, "e")
    assert await meaning.like(SearchScope(user_id=ADA), ids[0], 3) == [near]
    assert len((await meaning.rows.nearest_signs(SearchScope(user_id=ADA), vectors[0], 3)).ids) == 0
    await meaning.close()
    await database.close()
