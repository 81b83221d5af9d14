"""The schema: migrations make what the models say, down and up again, on both databases, by several processes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text, update

from limner.bot.app import open_app
from limner.bot.errors import SetupError
from limner.bot.moderation.reviews import Reviews
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import STALE
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.storage.tables.schema import SCHEMA
from tests.conftest import Postgres
from tests.rows import QUICKLY_ON_SQLITE, new_job

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(params=["sqlite", "postgres"])
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that is not there yet (SQLite) or has no tables (Postgres)."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").create()
    return sqlite_url(tmp_path / "new" / "limner.db")


def sqlite_url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "include_name": migrate.is_in_models}
    return compare_metadata(MigrationContext.configure(connection, opts=options), SCHEMA)


def downgrade(connection: Connection) -> None:
    command.downgrade(migrate.config(connection), "base")


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


async def test_migrations_make_what_the_models_say(database_url: str):
    assert await migrate.alone(database_url, differences) == []


@QUICKLY_ON_SQLITE
async def test_a_forgotten_migration_is_noticed(database_url: str):
    await migrate.alone(database_url, lambda connection: connection.execute(text("DROP INDEX ix_jobs_user")))

    assert len(await migrate.alone(database_url, differences)) == 1


@QUICKLY_ON_SQLITE
async def test_down_to_nothing_and_up_again(database_url: str):
    await migrate.alone(database_url, downgrade)
    assert await migrate.alone(database_url, tables) == set()
    with pytest.raises(SetupError, match="no tables yet; run `limner migrate`"):
        await migrate.check(database_url)

    await migrate.upgrade(database_url)

    await migrate.check(database_url)
    assert await migrate.alone(database_url, differences) == []


async def test_an_up_to_date_database_passes_and_is_left_alone(database_url: str):
    await migrate.check(database_url)
    await migrate.upgrade(database_url)
    assert await migrate.revision(database_url) == migrate.head()


def test_migrations_are_files_named_by_their_revisions():
    scripts = ScriptDirectory.from_config(migrate.config())
    assert migrate.head() == scripts.get_current_head()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


async def test_rows_survive_an_upgrade(database: Database):
    job = await JobQueue(database).enqueue(new_job())

    await migrate.upgrade(database.url)

    assert (await JobQueue(database).get(job.id)).idea == "a fox"


@QUICKLY_ON_SQLITE
async def test_rows_of_the_first_schema_get_their_turn(database: Database):
    """What 0002 fills in for a request that waited in the first schema."""
    job = await JobQueue(database).enqueue(new_job(guild_id=5, samples=2))
    await migrate.alone(database.url, lambda connection: command.downgrade(migrate.config(connection), "0001"))

    await migrate.upgrade(database.url)

    [same] = await JobQueue(database).claim("w", capacity=1)
    assert (same.id, same.server_id, same.weights_key, same.pixels) == (job.id, 5, job.weights_key, job.pixels)


@QUICKLY_ON_SQLITE
async def test_rules_of_the_second_schema_get_their_kind(database: Database):
    await migrate.alone(database.url, lambda connection: command.downgrade(migrate.config(connection), "0002"))
    async with database.begin() as session:
        for number, pattern in enumerate(["cow", "hot dog", "cat*", "*cat", "*cat*"], 7):
            values = {"id": number, "pattern": pattern}
            await session.execute(text("INSERT INTO rules VALUES (:id, 5, :pattern, :pattern, 1, 2.0)"), values)

    await migrate.upgrade(database.url)

    async with database.begin() as session:
        rules = (await session.scalars(select(RuleRow).order_by(RuleRow.id))).all()
        told = [(rule.id, rule.kind, rule.action, rule.is_on) for rule in rules]
        new = RuleRow(guild_id=5, pattern="new", normal_form="new", created_by=1, created_at=3.0)
        session.add(new)
        await session.flush()
    kinds = ["word", "phrase", "prefix", "suffix", "infix"]
    assert told == [(number, kind, "block", True) for number, kind in enumerate(kinds, 7)]
    assert new.id > 11


@QUICKLY_ON_SQLITE
async def test_decided_cards_of_deleted_requests_are_written_once_more(database: Database):
    jobs, reviews = JobQueue(database), Reviews(database)
    numbers: list[int] = []
    for state, is_deleted in (("rejected", True), ("rejected", False), ("open", True)):
        job = await jobs.log_refusal(new_job(guild_id=5), "filter:idea", "No.")
        review = await reviews.appeal(job, "It is a duck.")
        numbers.append(review.id)
        async with database.begin() as session:
            await session.execute(update(Review).where(Review.id == review.id).values(state=state, shown=state))
            await session.execute(update(Job).where(Job.id == job.id).values(deleted_at=1.0 if is_deleted else None))
    await migrate.alone(database.url, lambda connection: command.downgrade(migrate.config(connection), "0011"))

    await migrate.upgrade(database.url)

    assert [(await reviews.get(number)).shown for number in numbers] == [STALE, "rejected", "open"]


async def test_a_newer_schema_is_refused(database_url: str):
    renumber = text("UPDATE alembic_version SET version_num = '9999'")
    await migrate.alone(database_url, lambda connection: connection.execute(renumber))

    for step in (migrate.check, migrate.upgrade):
        with pytest.raises(SetupError, match="made by a newer Limner"):
            await step(database_url)


async def test_an_older_schema_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str):
    newer = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", newer)
    (newer / "versions" / "9999_later.py").write_text(
        f"revision = '9999'\ndown_revision = {migrate.head()!r}\ndef upgrade(): pass\ndef downgrade(): pass\n"
    )
    monkeypatch.setattr(migrate, "FOLDER", newer)

    with pytest.raises(SetupError, match="made by an older Limner; run `limner migrate`"):
        await migrate.check(database_url)

    await migrate.upgrade(database_url)
    await migrate.check(database_url)


async def test_checking_makes_no_file(tmp_path: Path):
    with pytest.raises(SetupError, match="no tables yet"):
        await migrate.check(sqlite_url(tmp_path / "none" / "limner.db"))

    assert list(tmp_path.iterdir()) == []


async def test_a_failed_upgrade_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    broken = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", broken)
    (broken / "versions" / "9999_broken.py").write_text(
        f"from alembic import op\nrevision = '9999'\ndown_revision = {migrate.head()!r}\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (a)')\n    op.execute('nonsense')\n"
    )
    monkeypatch.setattr(migrate, "FOLDER", broken)
    url = sqlite_url(tmp_path / "limner.db")

    with pytest.raises(SetupError):
        await migrate.upgrade(url)

    assert await migrate.alone(url, tables) == set()


async def test_an_upgrade_waits_for_whoever_looks_into_the_file(tmp_path: Path):
    """SQLite switches to its write-ahead log only when nobody else has the file open for reading."""
    file = tmp_path / "limner.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE something (a)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM something").fetchall()
        upgrading = asyncio.create_task(migrate.upgrade(sqlite_url(file)))
        await asyncio.wait([upgrading], timeout=0.5)
        assert not upgrading.done()

    await upgrading

    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_that_is_no_database_is_told(tmp_path: Path):
    file = tmp_path / "limner.db"
    file.write_bytes(b"a picture of a database" * 1000)

    for step in (migrate.check, migrate.upgrade):
        with pytest.raises(SetupError, match=r"cannot be used .*not a database"):
            await step(sqlite_url(file))


@pytest.mark.parametrize(
    "url",
    ["postgresql+asyncpg://nobody@127.0.0.1:1/none", "nonsense", "sqlite+aiosqlite:////proc/limner/limner.db"],
)
async def test_a_database_that_cannot_be_opened_is_told(url: str):
    with pytest.raises(SetupError, match="cannot be used"):
        await migrate.upgrade(url)


async def test_a_database_that_does_not_exist_is_told(postgres: Postgres):
    with pytest.raises(SetupError, match='database "none" does not exist'):
        await migrate.check(postgres.url("none"))


UPGRADE_AND_WRITE = """
import asyncio, sys
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.storage.history.gallery import Filter, Gallery
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from tests.rows import new_job

async def main(url):
    await migrate.upgrade(url)
    database = Database(url)
    await JobQueue(database).enqueue(new_job())
    await database.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.slow
async def test_processes_that_start_together_share_one_new_database(new_database_url: str):
    url = new_database_url
    command = (sys.executable, "-c", UPGRADE_AND_WRITE, url)
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT) for _ in range(4)]

    assert [await process.wait() for process in processes] == [0, 0, 0, 0]

    await migrate.check(url)
    database = Database(url)
    assert await JobQueue(database).counts() == (4, 0)
    await database.close()


async def test_data_folders_with_odd_names_neither_move_nor_share_the_database(tmp_path: Path) -> None:
    names = ("q?a=1", "q?b=2", "file:x%2F 100%?mode=memory a#größe")
    for number, name in enumerate(names):
        settings = Settings(data=tmp_path / name, safety_classifier="off")
        await migrate.upgrade(settings.url)
        async with open_app(settings) as app:
            await app.filters.add(0, f"word{number}", by=0)
    for number, name in enumerate(names):
        async with open_app(Settings(data=tmp_path / name, safety_classifier="off")) as app:
            assert [row.pattern for row in await app.filters.all(0)] == [f"word{number}"]
    assert {file.parent.name for file in tmp_path.rglob("*.db")} == {*names}
    assert {path.name for path in tmp_path.iterdir()} == {*names}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
async def test_nobody_else_on_the_machine_reads_the_database_or_the_pictures(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", safety_classifier="off")

    def rights() -> dict[str, int]:
        paths = (settings.data, settings.data / "images", *settings.data.glob("limner.db*"))
        return {path.name: path.stat().st_mode & 0o777 for path in paths}

    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        await app.filters.add(0, "word", by=0)
        app.images.save(b"picture")
        private = rights()
    assert {name: oct(mode) for name, mode in private.items()} == {
        "data": "0o700",
        "images": "0o700",
        "limner.db": "0o600",
        "limner.db-wal": "0o600",
        "limner.db-shm": "0o600",
    }
    (settings.data / "limner.db").chmod(0o644)  # as an older version made them
    (settings.data / "images").chmod(0o755)
    await migrate.check(settings.url)
    async with open_app(settings):
        assert (rights()["limner.db"], rights()["images"]) == (0o600, 0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
async def test_a_data_folder_of_an_older_version_is_closed_to_others(settings: Settings, tmp_path: Path) -> None:
    data, elsewhere = settings.data, tmp_path / "elsewhere"
    for folder in (data / "cache", data / "loras", elsewhere):
        folder.mkdir(mode=0o755)
    for file in (data / "limner.toml", data / "limner.log", data / "backup.db", elsewhere / "key"):
        file.write_bytes(b"")
        file.chmod(0o644)
    (data / "link").symlink_to(elsewhere)
    data.chmod(0o755)
    async with open_app(settings):
        rights = {path.name: oct(path.stat().st_mode & 0o777) for path in (data, *data.iterdir(), elsewhere)}
    assert rights == dict.fromkeys(("data", "cache", "loras"), "0o700") | {
        "limner.log": "0o600",
        "backup.db": "0o600",
        "limner.toml": "0o644",
        "link": "0o755",
        "elsewhere": "0o755",
    } | {name: "0o600" for name in rights if name.startswith("limner.db")}


async def test_an_upgrade_leaves_the_locks_of_an_open_database(settings: Settings):
    """Another process that opens and closes the database then must not take itself for its last user."""
    database = Database(settings.url)
    async with database.begin() as session:
        await session.execute(text("DELETE FROM jobs"))
    await migrate.upgrade(settings.url)
    script = (
        f"import sqlite3; sqlite3.connect({str(settings.data / 'limner.db')!r}).execute('SELECT 1 FROM jobs').close()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

    assert (settings.data / "limner.db-wal").exists()
    await database.close()


async def test_phrases_of_older_requests_are_found_by_their_pairs_of_words(database: Database):
    jobs = JobQueue(database)
    numbers = [(await jobs.enqueue(new_job(idea))).id for idea in ("a red fox: night", "fox red", "夜 red 雨夜")]
    async with database.read() as session:
        new = (await session.scalars(select(Job.search_text).order_by(Job.id))).all()
    await migrate.alone(database.url, lambda connection: command.downgrade(migrate.config(connection), "0044"))
    async with database.read() as session:
        old = (await session.scalars(select(Job.search_text).order_by(Job.id))).all()

    await migrate.upgrade(database.url)

    async with database.read() as session:
        assert (await session.scalars(select(Job.search_text).order_by(Job.id))).all() == new
    assert all(len(one) < len(other) for one, other in zip(old, new, strict=True))
    gallery = Gallery(database)
    for words, found in (('"red fox"', numbers[:1]), ('"fox night"', numbers[:1]), ('"red 雨夜"', numbers[2:])):
        assert await gallery.requests(Filter(words=words, every_status=True), 9) == found
