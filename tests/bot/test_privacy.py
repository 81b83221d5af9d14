"""What is kept of a member, and that nothing is left of what is erased: in the database, the files and the log."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simcord
from sqlalchemy import BigInteger, String, Text, func, select, update

from limner.bot.app import App
from limner.bot.cogs.privacy import LABELS
from limner.bot.queue.endings import StoredPicture
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage import member_data
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import LATELY, merge_index
from limner.bot.storage.erasures import Erasures, Period
from limner.bot.storage.history.history import History
from limner.bot.storage.history.taught_loras import LikedLora
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.base import Json, List
from limner.bot.storage.tables.encrypted import Encrypted, IndexedWords
from limner.bot.storage.tables.house_rules_tables import AcceptedRules
from limner.bot.storage.tables.models import Image, Job, ReferencePicture
from limner.bot.storage.tables.moderation_tables import (
    Ban,
    BlockedPicture,
    MemberReport,
    Review,
    Strike,
    Suspension,
)
from limner.bot.storage.tables.privacy_tables import Export
from limner.bot.storage.tables.schema import SCHEMA
from tests.rows import new_job, painted, seen
from tests.simulated_discord import World, labels, png, text_of

SERVER = 101
OF_NOBODY = {
    *("id", "guild_id", "channel_id", "message_id", "server_id", "application_id", "job_id", "review_id", "strike_id"),
    *(
        "parent_id",
        "pending_id",
        "image_id",
        "folder_id",
        "told_of",
        "pixels",
        "seed",
        "room",
        "revision",
        "undoes",
        "mark",
    ),
}
"""Columns of large numbers that are no member's id."""
CODES = {"status", "kind", "expand", "weights_key", "worker_id", "embedded_by", "action", "reason_code", "rule_action"}
"""Columns of a request that hold codes of Limner's own."""
NEW_TABLE = (
    "Give a table of a member's own rows the column user_id, say in LABELS (bot/cogs/privacy.py) what they are, and in "
    "docs/privacy.md why and for how long; "
    "give a table of a request's rows a foreign key to jobs.id with ON DELETE CASCADE; name any other in SPECIAL, "
    "ACTORS or NOBODYS (bot/storage/member_data.py)."
)
NEW_NUMBER = (
    "Call the column user_id if it names the member whose row it is; name it in ACTORS (bot/storage/member_data.py) if "
    "it names who made a change or decision, and in OF_NOBODY (tests/bot/test_privacy.py) if it names no member."
)
NEW_TEXT = (
    "Empty what a member typed or chose in `_nothing` (bot/storage/erasing.py); name a column with codes of Limner's "
    "own in CODES (tests/bot/test_privacy.py)."
)


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", Cipher())


@pytest.fixture
def history(database: Database, images: ImageStore) -> History:
    return History(database, images)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database)


async def rows(history: History) -> list[Job]:
    """All requests, deleted or not."""
    async with history.database.read() as session:
        return list(await session.scalars(select(Job).order_by(Job.id)))


def words(job: Job) -> set[str]:
    """What the row's texts and lists hold, beside codes."""
    types = (String, Text, type(Json), type(List), Encrypted, IndexedWords)
    named = [column.name for column in Job.__table__.columns if isinstance(column.type, types)]
    return {repr(getattr(job, name)) for name in named if name not in CODES} - {"''", "None", "{}", "[]"}


async def test_a_deleted_request_keeps_its_times_numbers_and_codes_only(
    history: History, jobs: JobQueue, images: ImageStore
):
    new = new_job("a purple cow", guild_id=SERVER, channel_id=7, style="ink", input_name="me.png")
    new = replace(new, request=replace(new.request, negative_prompt="grass", init_image=images.save(b"given")))
    picture = StoredPicture(images.save(b"painted"), 16, 16, 7, 7, seen())
    job = await painted(jobs, new, picture)
    await jobs.attach_message(job.id, 9)
    assert words(job)

    await history.delete(job.id)
    [row] = await rows(history)
    assert words(row) == set(), NEW_TEXT
    assert (row.user_id, row.guild_id, row.status, row.samples) == (1, SERVER, "succeeded", 1)
    assert row.erased_at
    assert (row.channel_id, row.message_id, row.images) == (None, None, [])
    assert list(images.folder.rglob("*.png")) == []
    await history.delete(job.id)


async def test_the_words_of_a_refusal_go_a_day_later_and_those_before_this_version_too(
    history: History, jobs: JobQueue
):
    job = await jobs.log_refusal(new_job("a purple cow", guild_id=SERVER), "filter:idea", "No.")
    elsewhere = await jobs.log_refusal(new_job("a purple cow"), "filter:idea", "No.")
    await history.delete_all([job.id, elsewhere.id])
    assert [row.idea for row in await rows(history)] == ["a purple cow", ""]
    assert [asked.idea for asked in await history.refused(1, SERVER, 600, 10)] == ["a purple cow"]

    async with history.database.begin() as session:
        await session.execute(update(Job).values(created_at=time.time() - 90_000))
    assert await history.erase_deleted() == 1
    assert [row.idea for row in await rows(history)] == ["", ""]
    assert await history.erase_deleted() == 0


async def test_the_words_of_a_running_request_go_when_it_has_ended(history: History, jobs: JobQueue):
    await jobs.enqueue(new_job("a purple cow"))
    [job] = await jobs.claim("painter", capacity=1)
    await history.delete(job.id)
    assert await history.erase_deleted() == 0
    assert await jobs.end_cancelled("painter") == {job.id}
    assert await history.erase_deleted() == 1
    assert [words(row) for row in await rows(history)] == [set()]


async def test_erased_words_are_nowhere_in_the_bytes_of_the_database(settings: Settings):
    database = Database(settings.url)
    history, jobs = History(database, ImageStore(settings.data / "images", Cipher())), JobQueue(database)
    for number in range(20):
        await jobs.enqueue(new_job(f"a cow {number}"))
    job = await jobs.enqueue(new_job("a zanzibarian giraffe " * 300))
    await history.delete(job.id)
    await merge_index(database)
    async with database.read() as session:
        assert (await session.scalars(select(Image))).all() == []
    await database.close()
    file = settings.data / "limner.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"zanzibarian" not in file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM")
        found = connection.execute("SELECT count(*) FROM jobs_fts WHERE jobs_fts MATCH 'cow'").fetchone()
    assert b"zanzibarian" not in file.read_bytes()
    assert found == (20,)


def test_every_table_is_known_to_erasing():
    own, with_requests = set(member_data.own_tables()), set(member_data.of_requests())
    of_own = {table for table in SCHEMA.sorted_tables if any(key.column.table in own for key in table.foreign_keys)}
    known = {table.name for table in own | with_requests | of_own}
    named = {*member_data.SPECIAL, *member_data.ACTORS, *member_data.NOBODYS}
    assert set(SCHEMA.tables) == known | named, NEW_TABLE
    assert not known & {*member_data.SPECIAL, *member_data.NOBODYS}, NEW_TABLE
    assert {table.name for table in own} | {"reviews", "strikes", "suspensions", "bans"} == LABELS.keys(), NEW_TABLE


def test_the_statement_for_members_names_every_table_of_an_export():
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
    told = {
        name
        for line in page.splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`(\w+)`", line.split(" | ")[1])
    }
    assert told == {section.table.name for section in member_data.sections(1)}, NEW_TABLE


def test_every_large_number_is_a_members_id_that_is_erased_or_none():
    found = {
        (table.name, column.name)
        for table in SCHEMA.sorted_tables
        for column in table.c
        if isinstance(column.type, BigInteger) and column.name not in OF_NOBODY
    }
    actors = {(name, column) for name, columns in member_data.ACTORS.items() for column in columns}
    owners = {(table.name, "user_id") for table in member_data.own_tables()}
    assert found == actors | owners | {(name, "user_id") for name in member_data.SPECIAL}, NEW_NUMBER


async def erased(world: World, number: int) -> None:
    """Wait until a receipt's erasure is carried out."""

    async def is_done() -> bool:
        erasure = await world.app.erasures.get(number)
        return erasure is None or erasure.done_at is not None

    await world.until(is_done, f"receipt {number}")


async def ask(world: World, who: Any, **given: Any) -> simcord.InteractionResult:
    """Fill the form Erase under /privacy."""
    shown = await who.slash(world.channel, "privacy")
    form = await who.click(shown.response, label="Erase")
    return await who.submit_modal(form, {"what": ["all"], "messages": ["stay"], **given})


def letters(who: Any) -> list[str]:
    return [message.content for message in who.user.dm_channel.history()]


async def first_letter(world: World, who: Any) -> str:
    """Wait until a member has a letter: a receipt's comes after its erasure."""

    async def look() -> list[str]:
        return letters(who)

    return (await world.until(look, "the letter"))[-1]


async def furnish(app: App, job: Job, other: Job) -> None:
    """Rows of the member who asked for a job in the tables that the rest of the test leaves empty."""
    ada, here, now = job.user_id, job.guild_id or 0, time.time()
    refused = await app.jobs.log_refusal(new_job("zanzibar", ada, guild_id=here), "filter:idea", "No.")
    decided: dict[str, Any] = {"state": "rejected", "shown": "rejected", "words": "zanzibar"}
    strike = Strike(guild_id=here, user_id=ada, created_at=1.0, expires_at=2.0, given_by=ada, why="zanzibar")
    async with app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == refused.id).values(created_at=now - 2 * LATELY))
        session.add(Review(created_at=now, guild_id=here, user_id=ada, job_id=refused.id, why="filter:idea", **decided))
        session.add(strike)
        await session.flush()
        session.add(Suspension(guild_id=here, user_id=ada, strike_id=strike.id, created_at=1.0, until=2.0))
        session.add(
            Ban(guild_id=here, user_id=ada, created_at=1.0, given_by=ada, why="zanzibar", lifted_at=2.0, lifted_by=ada)
        )
        session.add(MemberReport(guild_id=here, user_id=ada, job_id=other.id, words="zanzibar", created_at=now))
        session.add(AcceptedRules(guild_id=here, user_id=ada, digest="0" * 16, accepted_at=now))
        session.add(ReferencePicture(job_id=job.id, sha256=app.images.save(png(shade=33))))
        session.add(BlockedPicture(guild_id=here, phash="0" * 16, created_by=ada, created_at=now))
        held: dict[str, Any] = {"token": "zanzibar", "token_expires_at": 0.0, "held_at": now}
        session.add(Export(user_id=ada, asked_at=now, locale="en-US", **held))


async def filled(app: App) -> set[str]:
    """The tables that have rows."""
    async with app.database.read() as session:
        counts = {
            name: await session.scalar(select(func.count()).select_from(table)) for name, table in SCHEMA.tables.items()
        }
    return {name for name, count in counts.items() if count}


async def test_an_erased_member_is_nowhere(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "limner")
    ada, bob, app = world.ada, world.bob, world.app
    await app.members.choose_expand(ada.id, "off")
    await app.pending.keep(ada.id, {"text": "a zanzibarian giraffe"}, app.images.save(png(shade=9)))
    rule = await app.filters.add(world.guild.id, "cow", ada.id)
    await app.filters.edit(world.guild.id, rule.id, ada.id, reason="spam")
    await app.guilds.change(world.guild.id, ada.id, review_days=3)
    settings = await app.guilds.get(world.guild.id)
    told = await app.strikes.give(world.guild.id, bob.id, by=ada.id, why="spam", settings=settings)
    painted = await world.painted("a zanzibarian giraffe")
    await app.favourites.star(ada.id, painted.images[0].id)
    await app.favourites.keep(ada.id, painted.images[0].id, "Zanzibar", "a note from zanzibar")
    await app.ratings.choose(ada.id, is_shown=True, is_training=True)
    await app.ratings.rate(painted, is_good=True)
    await app.preferences.prefer(painted, better=1, worse=2)
    lora = LikedLora("doodle/zanzibar", world.settings.data / "lora-zanzibar", None)
    await app.taught_loras.teach(lora, [ada.id])
    lora.folder.mkdir()
    (lora.folder / "checkpoint.safetensors").write_bytes(b"zanzibar")
    await app.meaning.rows.write({painted.id: np.ones(64, np.float32)})
    waiting = await world.imagine("a waiting zanzibarian giraffe")
    running = await world.claim()
    kept = await world.imagine("a wombat", bob)
    await app.jobs.save_preview("painter", running.id, 1, b"zanzibar", seen())
    await furnish(app, painted, kept)
    assert await filled(app) >= SCHEMA.tables.keys() - {*member_data.NOBODYS, "erasures"}, NEW_TABLE

    asked = await ask(world, ada, messages=["go"])
    assert asked.response
    assert asked.response.content.startswith("3 requests with 1 picture are erased for good")
    done = await ada.click(asked.response, label="Erase for good")
    assert running.id == waiting.id
    await world.until(lambda: _is_cancelled(app, waiting.id), "the running request is cancelled")
    await app.jobs.end_cancelled("painter")
    await erased(world, 1)
    assert "Receipt 1: 3 requests and 1 picture are erased" in await first_letter(world, ada)
    assert done.response

    async def is_over() -> bool:
        return not [one for one in await app.erasures.with_leftovers() if await app.erasures.finish(one)]

    await world.until(is_over, "the card of the review is closed, and nothing is left")
    assert [message.author.id for message in world.channel.history() if "zanzibar" in text_of(message)] == []
    assert [job.id for job in await app.jobs.open_jobs(bob.id)] == [kept.id]
    assert [strike.given_by for strike in await app.strikes.active(world.guild.id, bob.id)] == [member_data.ERASED]
    assert told.strike.id
    said = caplog.text
    await world.bot.unload_extension("limner")
    with closing(sqlite3.connect(world.settings.data / "limner.db")) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = "\n".join(connection.iterdump())
    assert str(ada.id) not in rows
    everything = b"".join(file.read_bytes() for file in world.settings.data.rglob("*") if file.is_file())
    for trace in (b"zanzibar", str(ada.id).encode()):
        assert trace not in everything
        assert trace.decode() not in said
    assert list((world.settings.data / "images").rglob("*.png")) == []


async def test_a_request_that_is_emptied_while_its_member_is_erased_leaves_no_row(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await app.jobs.log_refusal(new_job("zanzibar", 7, guild_id=1), "filter:idea", "No.")
    erasure = await app.erasures.ask(Period(7, 0.0, time.time() + 1), is_all=True, takes_messages=False, locale="")
    await app.erasures.erase(erasure, [refused], messages=0, kept_messages=0)

    async def meanwhile(hashes: set[str]) -> None:
        monkeypatch.undo()
        async with app.database.begin() as session:
            await session.execute(update(Job).values(created_at=Job.created_at - 2 * LATELY))
        await app.history.drop_files(hashes)
        assert await app.history.erase_deleted() == 1

    monkeypatch.setattr(app.history, "drop_files", meanwhile)
    assert await app.erasures.finish(erasure)
    [again] = await app.erasures.with_leftovers()
    assert not await app.erasures.finish(again)
    async with app.database.read() as session:
        assert not (await session.scalars(select(Job))).all()
    assert not await app.erasures.with_leftovers()


async def _is_cancelled(app: App, job_id: int) -> bool:
    async with app.database.read() as session:
        return (await session.get_one(Job, job_id)).cancel_requested


async def test_a_period_is_erased_and_the_rest_stays(world: World):
    old, new = await world.painted("an old cow"), await world.painted("a new cow")
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == old.id).values(created_at=1_700_000_000.0))
    asked = await ask(world, world.ada, what=["period"], first="2023-11-01", last="2023-11-14")
    assert asked.response
    assert "1 request with 1 picture" in asked.response.content
    await world.ada.click(asked.response, label="Erase for good")
    await erased(world, 1)
    assert [job.id for job in await world.app.history.page(world.ada.id)] == [new.id]
    assert (await first_letter(world, world.ada)).startswith("Receipt 1: 1 request and 1 picture")
    assert len(letters(world.ada)) == 1
    assert world.message(old)


async def test_the_same_erasure_twice_is_one(database: Database, history: History):
    erasures = Erasures(database, history)
    span = Period(1, 0.0, 5.0)
    started = [await erasures.ask(span, is_all=False, takes_messages=False, locale="en-US") for _ in range(2)]
    other = await erasures.ask(span, is_all=True, takes_messages=False, locale="en-US")
    later = await erasures.ask(Period(1, 0.0, 9.0), is_all=True, takes_messages=False, locale="en-US")
    assert [one.id for one in (*started, other, later)] == [1, 1, 2, 2]


async def test_what_cannot_be_erased_is_said_and_what_was_typed_comes_back(world: World):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"what": ["period"], "first": "yesterday"}, "“yesterday” is not a date"),
        ({"what": ["period"]}, "Give the first day"),
        ({"what": ["period"], "first": "2026-02-02", "last": "2026-02-01"}, "The last day is before the first one"),
        ({"what": ["one"], "request": "the fox"}, "“the fox” is not a request's number"),
        ({"what": ["one"], "request": "77"}, "is not there any more"),
    ]
    for given, sentence in wrong:
        refused = await ask(world, world.ada, **given)
        assert refused.response
        assert refused.ephemeral
        assert sentence in refused.response.content
        assert "Change it" in labels(refused.response.message)
        assert await world.app.erasures.to_do() == []


async def test_strikes_stay_until_they_expire_and_a_host_may_ask_for_a_member_who_left(world: World):
    await world.painted("a cow")
    settings = await world.app.guilds.get(world.guild.id)
    await world.app.strikes.give(world.guild.id, world.ada.id, by=2, why="spam", settings=settings)
    await world.restart()
    await world.env.settle()
    privacy: Any = world.bot.get_cog("Limner privacy")
    await privacy.red_delete_data_for_user(requester="discord_deleted_user", user_id=world.ada.id)
    await erased(world, 1)
    assert await world.app.history.count(world.ada.id, every_status=True) == 0
    assert len(await world.app.strikes.active(world.guild.id, world.ada.id)) == 1
    [erasure] = await world.app.erasures.with_leftovers()
    async with world.app.database.begin() as session:
        await session.execute(update(Strike).values(expires_at=1.0))
        await session.execute(update(Suspension).values(until=1.0))
    assert not await world.app.erasures.finish(erasure)
    assert await world.app.erasures.with_leftovers() == []


async def test_privacy_says_what_is_stored(world: World):
    await world.painted("a cow")
    await world.app.members.choose_expand(world.ada.id, "off")
    shown = await world.ada.slash(world.channel, "privacy")
    assert shown.response
    assert shown.ephemeral
    told = {field.name: field.value for field in shown.response.embeds[0].fields}
    assert "1 request with 1 picture" in (told["Your requests"] or "")
    assert told["Beside them"] == "settings of yours: 1"
    theirs = await world.bob.slash(world.channel, "privacy")
    assert theirs.response
    assert [field.value for field in theirs.response.embeds[0].fields] == ["0 requests with 0 pictures, 0.0 MB"]
