"""A server that grows moves its rows to Postgres: all of them or none, and no id is given twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from limner.bot.__main__ import main
from limner.bot.app import open_app
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.copy_database import copy_database
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.storage.tables.schema import SCHEMA
from tests.rows import new_job, painted


async def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    async with migrate.connected(url) as connection:
        return {
            table.name: [tuple(row) for row in await connection.execute(select(table).order_by(*table.primary_key))]
            for table in SCHEMA.sorted_tables
        }


async def fill(settings: Settings) -> None:
    """Requests in all states, a rule, a setting, and a request whose row is gone."""
    async with open_app(settings) as app:
        await painted(app.jobs, new_job("a fox\u2028in the 雪 'quoted' \U0001f98a", guild_id=2**63 - 1))
        await app.jobs.enqueue(new_job("a waiting owl", user_id=2))
        async with app.database.begin() as session:
            session.add(RuleRow(guild_id=5, pattern="zorp", normal_form="zorp", created_by=1, created_at=1.5))
        last = await app.jobs.enqueue(new_job("a forgotten cat", user_id=3))
        async with app.database.begin() as session:
            await session.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": last.id})


async def test_all_rows_go_to_postgres_and_back_and_the_bot_goes_on_there(
    settings: Settings, postgres_url: str, tmp_path: Path
):
    await fill(settings)
    before = await rows_of(settings.url)

    copied = await copy_database(settings.url, postgres_url)

    assert await rows_of(postgres_url) == before == await rows_of(settings.url)
    assert copied == {name: len(rows) for name, rows in before.items()}
    assert copied["jobs"] == 2
    back = settings.using(data=tmp_path)
    await copy_database(postgres_url, back.url)
    assert await rows_of(back.url) == before
    async with open_app(back) as app:
        assert (await app.jobs.enqueue(new_job("a new hat", user_id=9))).id == 4
    async with open_app(settings.using(database_url=postgres_url)) as app:
        assert (await app.jobs.enqueue(new_job("a new hat", user_id=9))).id == 4
        assert [job.idea for job in await app.history.page(2, search="owl", every_status=True)] == ["a waiting owl"]
        assert [job.idea for job in await app.jobs.claim("worker", capacity=2)] == ["a waiting owl"]


async def test_a_database_with_rows_takes_none(settings: Settings, tmp_path: Path):
    await fill(settings)
    other = settings.using(data=tmp_path)
    await copy_database(settings.url, other.url)
    before = await rows_of(other.url)

    with pytest.raises(SetupError, match="has rows already"):
        await copy_database(settings.url, other.url)
    with pytest.raises(SetupError, match="the same database"):
        await copy_database(other.url, other.url)

    assert await rows_of(other.url) == before


def test_the_command_says_what_it_copied(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asyncio.run(fill(settings))
    monkeypatch.setenv("LIMNER_DATABASE_URL", postgres_url.replace("+asyncpg", ""))

    assert main(["--data", str(settings.data), "migrate", "--from", "sqlite"]) == 0

    assert capsys.readouterr().out.endswith("rows (2 requests); the old database is as it was.\n")
