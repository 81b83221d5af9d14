"""Search finds the same on both databases, in any language, and takes any text as a question."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, strategies

from limner.bot.queue.jobs import JobQueue
from limner.bot.storage.db import Database
from limner.bot.storage.history.found import Span
from limner.bot.storage.history.found import found as ids_with
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.storage.history.search import read_question, searchable
from tests.conftest import Postgres
from tests.rows import new_job

IDEAS = [
    "A red fox in the snow",
    "a red car, and a fox-hunter",
    "夕阳下的海滩",
    "海鸥 over the beach",
    "Café Zürich, ÆON, Straße",
    "cafe at night, 4k, f/1.8, 1e5 stars, v2.0-beta, user@example.com",
    "don't stop: rock'n'roll",
    "ночной город",
    "東京タワーの夜景",
    "한국의 가을 풍경",
    "หมาน้อยบนชายหาด",
    "हिन्दी में एक चित्र",
    "İstanbul ve ışık",
    "C++ and c# on a t-shirt 🦊",
    "foxes foxglove",
]

FOUND = {
    "fox": [1, 2, 15],
    "FOX snow": [1],
    "snow fox": [1],
    "red f": [1, 2],
    "fo": [1, 2, 15],
    "fo red": [],
    '"red fox"': [1],
    '"fox red"': [],
    '"red fo"': [],
    "“red fox”": [1],
    '"red fox" sno': [1],
    "fox-hunter": [2],
    "hunter-fox": [],
    "海滩": [3],
    "夕阳": [3],
    "阳夕": [],
    "海": [3, 4],
    "海鸥 beach": [4],
    "cafe": [5, 6],
    "CAFÉ": [5, 6],
    "zurich": [5],
    "strasse": [5],
    "4k": [6],
    "1e5": [6],
    "1.8": [6],
    "v2": [6],
    "v2.0": [6],
    "example.com": [6],
    "user@example.com": [6],
    "don't": [7],
    "don’t": [7],
    "rock n roll": [7],
    "ночно": [8],
    "ГОРОД": [8],
    "東京": [9],
    "タワー": [9],
    "夜景": [9],
    "가을": [10],
    "가": [10],
    "ชายหาด": [11],
    "हिन्दी": [12],
    "istanbul": [13],
    "c++": [2, 5, 6, 14],
    "c++ shirt": [14],
    "🦊": [14],
    "\ufe0f🦊\ufe0f": [14],
    "AND": [2, 14],
    "a OR b": [],
    "NOT fox": [],
    "fox*": [1, 2, 15],
    "fox NEAR snow": [],
    '"': [],
    "'": [],
    "(red": [1, 2],
    ":*": [],
    "red & !snow | (": [1],
    "-fox": [1, 2, 15],
    "idea:fox": [],
    "\\": [],
    "%": [],
    "\x00fox": [1, 2, 15],
}


@dataclass(frozen=True)
class Index:
    """Databases with the same ideas, one of each kind."""

    urls: tuple[str, str]

    def find(self, question: str) -> list[list[int]]:
        """The numbers of the ideas that each database finds."""
        return asyncio.run(self._find(question))

    async def add(self, idea: str) -> int:
        """Write one more idea; its number."""
        numbers: list[int] = []
        for url in self.urls:
            database = Database(url)
            numbers.append((await JobQueue(database).enqueue(new_job(idea))).id)
            await database.close()
        assert numbers[0] == numbers[1]
        return numbers[0]

    async def _find(self, question: str) -> list[list[int]]:
        found: list[list[int]] = []
        for url in self.urls:
            database = Database(url)
            found.append(sorted(await Gallery(database).requests(Filter(words=question, every_status=True), 1000)))
            await database.close()
        return found


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, postgres: Postgres, migrated_postgres: str
) -> Index:
    file = tmp_path_factory.mktemp("search") / "limner.db"
    file.write_bytes(empty_database.read_bytes())
    urls = (f"sqlite+aiosqlite:///{file}", postgres.create(migrated_postgres))
    index = Index(urls)
    for idea in IDEAS:
        asyncio.run(index.add(idea))
    return index


@pytest.mark.parametrize("question", FOUND)
def test_both_databases_find_what_was_meant(index: Index, question: str):
    assert index.find(question) == [FOUND[question]] * 2


@given(question=strategies.text(max_size=30) | strategies.text("\"“” foxred()*:&|!<->\\'", max_size=20))
@example("a" * 5000)
@example('"' * 99)
@example("fox\ud800")
def test_any_text_is_a_question(index: Index, question: str):
    on_sqlite, on_postgres = index.find(question)

    assert on_sqlite == on_postgres


@given(
    idea=strategies.text(strategies.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    | strategies.text("0123456789eExX.,-+/:@#_abc ", max_size=16)
)
def test_what_was_written_is_found_in_any_script(index: Index, idea: str):
    number = asyncio.run(index.add(idea))

    found = index.find(idea)

    assert found[0] == found[1]
    assert number in found[0] or not searchable(idea)


@given(strategies.text())
def test_searchable_text_has_one_spelling(text: str):
    read = searchable(text)

    assert searchable(read) == read
    assert re.fullmatch("[a-z0-9]+( [a-z0-9]+)*|", read)


@pytest.mark.parametrize("word", ["a" * 5000, "字" * 5000])
async def test_very_long_words_are_found_by_their_beginning(database: Database, word: str):
    await JobQueue(database).enqueue(new_job(word))

    assert await Gallery(database).requests(Filter(words=word[:50], every_status=True), 9) == [1]


async def test_a_phrase_that_nobody_wrote_is_looked_for_in_few_requests(database: Database):
    for number in range(40):
        await JobQueue(database).enqueue(new_job(f"masterpiece, fox {number} in the snow, 8k"))
    asked = read_question('"8k masterpiece"')
    assert asked

    async def found(*terms: str) -> int:
        rows = ids_with(terms, (), Span(100), is_sqlite=database.is_sqlite)
        async with database.read() as session:
            return len((await session.scalars(rows)).all())

    assert await found("xq8k", "masterpiece") == 40
    assert await found(*asked.terms) == 0
