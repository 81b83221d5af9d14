"""`limner wipe` deletes what Limner stored, all of it, and nothing that the operator put there."""

import io
import sys
from pathlib import Path

import pytest

from limner.bot.app import open_app
from limner.bot.cli.wipe import wipe
from limner.bot.errors import SetupError
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings.settings import Settings
from limner.bot.storage import migrate
from tests.rows import new_job, painted, seen
from tests.simulated_discord import png

OURS = ("cache/measured.json", "cache/language/model.safetensors")
OPERATORS = (
    "limner.toml",
    "loras/doodle/ink.safetensors",
    "wildcards/animal.txt",
    "training/run/plan.json",
    "notes.txt",
)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


async def furnish(settings: Settings) -> None:
    async with open_app(settings) as app:
        await painted(app.jobs, new_job(), StoredPicture(app.images.save(png()), 16, 16, 7, 7, seen()))
    for name in (*OURS, *OPERATORS):
        (settings.data / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.data / name).write_text("something")


async def test_everything_stored_goes_and_nothing_else(settings: Settings, capsys: pytest.CaptureFixture[str]):
    await furnish(settings)
    assert await wipe(settings, is_sure=True)
    assert files(settings.data) == {*OPERATORS}
    assert "Deleted limner.db" in capsys.readouterr().out
    assert await wipe(settings, is_sure=True)
    assert "nothing to delete" in capsys.readouterr().out


async def test_it_asks_before_and_never_while_a_worker_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    await furnish(settings)
    before = files(settings.data)
    with pytest.raises(SetupError, match="--yes"):
        await wipe(settings, is_sure=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\nwipe\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert not await wipe(settings, is_sure=False)
    async with open_app(settings) as app:
        await app.worker_registry.report("other", device="cpu", weights=[], room=1, painting=None)
    with pytest.raises(SetupError, match="Workers are running"):
        await wipe(settings, is_sure=True)
    assert before <= files(settings.data) | {"limner.db-wal", "limner.db-shm"}
    async with open_app(settings) as app:
        await app.worker_registry.remove("other")
    assert await wipe(settings, is_sure=False)
    assert files(settings.data) == {*OPERATORS}


async def test_on_postgres_the_tables_go(settings: Settings, postgres_url: str):
    settings = settings.using(database_url=postgres_url)
    await furnish(settings)
    assert await wipe(settings, is_sure=True)
    assert await migrate.revision(settings.url) is None
    await migrate.upgrade(settings.url)
    await migrate.check(settings.url)
