"""The gallery on both databases: each filter, pages that stand still, and statements that read no whole table."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text, update

from limner.bot.place import Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.outbox import Outbox
from limner.bot.reasons import Action, HoldReason, ImageVerdict, JobKind
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.history.gallery import Filter, Gallery, Key
from limner.bot.storage.history.history import History
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import Image, Job
from tests.rows import QUICKLY_ON_SQLITE, new_job, painted, picture

MINE = Filter(user_id=1)
HERE = Filter(guild_id=5)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database)


@pytest.fixture
def gallery(database: Database) -> Gallery:
    return Gallery(database)


async def paint(jobs: JobQueue, new: NewJob, count: int = 1) -> int:
    """The id of a painted request."""
    return (await painted(jobs, new, *(picture() for _ in range(count)))).id


async def change(database: Database, table: type[Job | Image], job_id: int, **values: Any) -> None:
    key = Job.id if table is Job else Image.job_id
    async with database.begin() as session:
        await session.execute(update(table).where(key == job_id).values(**values))


async def ids(gallery: Gallery, wanted: Filter, **order: Any) -> list[int]:
    """The requests of the first nine pictures that are wanted."""
    return [key.job_id for key in await gallery.keys(wanted, 9, **order)]


async def test_pages_go_on_from_a_picture_both_ways_whatever_comes_meanwhile(jobs: JobQueue, gallery: Gallery):
    for count in (1, 3, 2):
        await paint(jobs, new_job(), count)
    every = [Key(3, 0), Key(3, 1), Key(2, 0), Key(2, 1), Key(2, 2), Key(1, 0)]
    oldest = [Key(1, 0), Key(2, 0), Key(2, 1), Key(2, 2), Key(3, 0), Key(3, 1)]

    first = await gallery.keys(MINE, 4)
    await paint(jobs, new_job("a newer one"))
    rest = await gallery.keys(MINE, 4, after=first[-1])

    assert (first, rest) == (every[:4], every[4:])
    assert await gallery.keys(MINE, 2, after=rest[0], is_backwards=True) == [Key(2, 1), Key(2, 0)]
    assert await gallery.keys(MINE, 9, after=first[0], is_backwards=True) == [Key(4, 0)]
    assert await gallery.keys(MINE, 6, is_oldest_first=True) == oldest
    assert await gallery.keys(MINE, 2, after=Key(2, 1), is_oldest_first=True) == [Key(2, 2), Key(3, 0)]
    assert await gallery.keys(MINE, 2, after=Key(2, 1), is_oldest_first=True, is_backwards=True) == [
        Key(2, 0),
        Key(1, 0),
    ]
    loaded = await gallery.load([Key(2, 1), Key(9, 0), Key(2, 7), Key(1, 0)])
    assert [(job.id, image.position) for job, image in loaded] == [(2, 1), (1, 0)]


async def test_every_filter_finds_what_it_names_and_nothing_else(
    jobs: JobQueue, gallery: Gallery, database: Database
) -> None:
    plain = await paint(jobs, new_job("a fox", channel_id=7))
    inked = new_job("a fox in ink", model="sdxl", style="ink", channel_id=8)
    inked = await paint(jobs, replace(inked, request=replace(inked.request, loras=(("lines", 0.7),))))
    await paint(jobs, new_job("a fox", user_id=2, model="sdxl", style="ink", channel_id=7))
    await change(database, Job, plain, created_at=1000.0)

    assert await ids(gallery, MINE) == [inked, plain]
    for name, value in {"model": "sdxl", "style": "ink", "lora": "lines", "channel_id": 8, "words": "ink"}.items():
        assert await ids(gallery, replace(MINE, **{name: value})) == [inked], name
        assert await ids(gallery, replace(MINE, **{name: value}), is_oldest_first=True) == [inked], name
    assert await ids(gallery, replace(MINE, model="tiny", words="fox")) == [plain]
    assert await ids(gallery, replace(MINE, model="tiny", style="ink")) == []
    assert await ids(gallery, replace(MINE, model="gone")) == []
    assert await ids(gallery, replace(MINE, since=2000.0)) == [inked]
    assert await ids(gallery, replace(MINE, until=2000.0)) == [plain]
    assert await ids(gallery, replace(MINE, since=900.0, until=1100.0)) == [plain]
    assert await ids(gallery, replace(MINE, since=2e12)) == []


async def test_a_moved_request_is_found_in_its_new_channel(
    jobs: JobQueue, gallery: Gallery, database: Database
) -> None:
    moved = await paint(jobs, new_job("a fox", guild_id=5, channel_id=7))
    await paint(jobs, new_job("a fox", guild_id=5, channel_id=77))
    await Outbox(database).move(moved, 7, Where(5, 8))
    for scope in (MINE, HERE):
        assert await ids(gallery, replace(scope, channel_id=7)) == []
        assert await ids(gallery, replace(scope, channel_id=8)) == [moved]


@QUICKLY_ON_SQLITE
async def test_upscaled_pictures_are_found_by_those_that_were_made_of_them(jobs: JobQueue, gallery: Gallery):
    one, all_of_it = await paint(jobs, new_job(), 3), await paint(jobs, new_job(), 2)
    await paint(jobs, new_job())
    for user_id, parent, number in ((2, one, 2), (3, one, 2), (2, all_of_it, None)):
        upscaling = new_job(user_id=user_id, kind=JobKind.FINISH, action=Action.UPSCALE)
        await paint(jobs, replace(upscaling, parent_id=parent, parent_picture=number))
    await jobs.enqueue(new_job(kind=JobKind.FINISH, action=Action.UPSCALE, parent_id=one, parent_picture=3))

    found = await gallery.keys(replace(MINE, is_upscaled=True), 9)

    assert found == [Key(all_of_it, 0), Key(all_of_it, 1), Key(one, 1)]


async def test_a_server_sees_what_is_public_and_let_through(
    jobs: JobQueue, gallery: Gallery, database: Database
) -> None:
    public = await paint(jobs, new_job("a fox", guild_id=5), 2)
    others = await paint(jobs, new_job("a fox", user_id=2, guild_id=5))
    await paint(jobs, new_job("a private fox", guild_id=5, is_private=True))
    await paint(jobs, new_job("elsewhere", guild_id=6))
    await paint(jobs, new_job("in a direct message"))
    for values in ({"quarantine": HoldReason.UNSEEN}, {"deleted_at": 1.0}):
        await change(database, Job, await paint(jobs, new_job("a fox", guild_id=5)), **values)
    explicit = await paint(jobs, new_job("a fox", guild_id=5))
    await change(database, Image, explicit, verdict=ImageVerdict.EXPLICIT)

    assert await ids(gallery, HERE) == [others, public, public]
    assert await ids(gallery, replace(HERE, words="fox")) == [others, public, public]
    assert await ids(gallery, replace(HERE, words="private")) == []


async def test_no_words_are_taken_for_what_the_index_keeps_beside_words(jobs: JobQueue, gallery: Gallery):
    await paint(jobs, new_job("a fox", user_id=2))

    assert await ids(gallery, replace(Filter(user_id=2), words="fox 0p2")) == []
    assert await gallery.requests(Filter(words="0p2", every_status=True), 9) == []


@QUICKLY_ON_SQLITE
async def test_what_is_deleted_is_on_no_page(jobs: JobQueue, gallery: Gallery, database: Database, tmp_path: Path):
    history = History(database, ImageStore(tmp_path / "images", Cipher()))
    kept, one_of_it, gone = [await paint(jobs, new_job(), 2) for _ in range(3)]
    await history.delete(gone)
    await history.drop_picture(one_of_it, 1)
    await history.drop_pictures(kept)

    assert await gallery.keys(MINE, 9) == [Key(one_of_it, 1)]


@asynccontextmanager
async def plans(database: Database) -> AsyncGenerator[list[str]]:
    """How the database reads for each statement meanwhile."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        statements.append((statement, parameters))

    told: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield told
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    async with database.engine.connect() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))  # these tables are small
        for statement, parameters in statements:
            explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
            rows = (await connection.exec_driver_sql(f"{explain} {statement}", parameters)).all()
            told.append("\n".join(str(row[-1]) for row in rows))


IN_ORDER = re.compile(r"SCAN jobs_fts VIRTUAL TABLE INDEX (64|192):M|->  Incremental Sort")
"""How each database says that it stops reading the index when a page is full."""
EVERY_FILTER: Sequence[dict[str, Any]] = (
    {},
    {"words": "fox"},
    {"words": '"red fox" 海滩'},
    {"model": "tiny", "style": "ink", "lora": "lines", "channel_id": 7, "is_upscaled": True},
    {"since": 1.0, "until": 2.0},
)


@pytest.mark.parametrize("scope", [MINE, HERE])
@pytest.mark.parametrize("is_oldest_first", [False, True])
async def test_no_page_reads_a_whole_table_or_sorts_all_that_is_found(
    jobs: JobQueue, gallery: Gallery, database: Database, scope: Filter, is_oldest_first: bool
) -> None:
    await paint(jobs, new_job("a red fox", guild_id=5))
    async with plans(database) as told:
        for filters in EVERY_FILTER:
            wanted = replace(scope, **filters)
            await gallery.keys(wanted, 9, after=Key(1, 0), is_oldest_first=is_oldest_first)
        await gallery.load([Key(1, 0)])

    assert len(told) > len(EVERY_FILTER)
    for plan in told:
        lines = [line.strip() for line in plan.splitlines()]
        assert not [line for line in lines if re.match("SCAN (jobs|images)$|.*Seq Scan", line)], plan
        if "jobs_fts" in plan:
            assert any(map(IN_ORDER.match, lines)), plan
            assert not re.search(r"Index Cond: .*job_id [<>]= ", plan), plan  # the whole span, for every block of it
