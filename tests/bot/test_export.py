"""What members have sent to them: everything stored about them, in zip files, whatever happens on the way."""

import csv
import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import simcord
from sqlalchemy import update

from limner.bot.app import App
from limner.bot.cli.export import export as export_member
from limner.bot.errors import SetupError
from limner.bot.reasons import HoldReason
from limner.bot.storage import member_data
from limner.bot.storage.export_files import ExportFile
from limner.bot.storage.private_files import open_private
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.privacy_tables import Export
from limner.bot.storage.tables.schema import SCHEMA
from limner.bot.ui.delivery import exporting
from tests.rows import seen
from tests.simulated_discord import World, png

NO_MUTUAL_SERVERS = 50278
DIRECT = ("POST", "/channels/*/messages")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts with room for a few rows."""
    monkeypatch.setattr(exporting, "SPARE", 4000)
    monkeypatch.setattr(exporting, "LARGEST", 20_000)
    monkeypatch.setattr(exporting, "LEAST", 1000)


async def press(world: World, who: Any = None) -> simcord.InteractionResult:
    """Press Export under /privacy."""
    who = who or world.ada
    shown = await who.slash(world.channel, "privacy")
    return await who.click(shown.response, label="Export")


async def held(world: World) -> Job:
    """A request whose picture is too explicit, and waits for a moderator."""
    await world.app.guilds.change(world.guild.id, world.grace.id, review_channel_id=world.channel.id)
    await world.imagine("too explicit")
    await world.finish(await world.claim(), look=seen(score=0.99))

    async def is_held() -> bool:
        return (await world.newest()).quarantine == HoldReason.EXPLICIT

    await world.until(is_held, "the picture is held")
    return await world.newest()


async def is_over(world: World) -> None:
    """Wait until nothing is left to send."""

    async def is_sent() -> bool:
        return await world.app.exports.of_member(world.ada.id) is None

    await world.until(is_sent, "the export is sent")


async def parts(world: World) -> list[zipfile.ZipFile]:
    """The zip files among a member's direct messages, the first one first."""
    letters = sorted(world.ada.user.dm_channel.history(), key=lambda message: message.id)
    files = [file for letter in letters for file in letter.attachments if file.filename.endswith(".zip")]
    return [zipfile.ZipFile(io.BytesIO(await file.read())) for file in files]


def table(files: list[zipfile.ZipFile], name: str) -> list[dict[str, Any]]:
    """A table's rows in all parts."""
    names = [(file, one) for file in files for one in file.namelist() if one.startswith(f"{name}-")]
    return [row for file, one in names if one.endswith(".json") for row in json.loads(file.read(one))]


def test_every_table_is_in_an_export_or_has_nothing_of_a_member():
    found = {section.name.removesuffix(member_data.AS_MODERATOR) for section in member_data.sections(1)}
    assert found == set(SCHEMA.tables) - set(member_data.NOBODYS)
    readable = {column.name for section in member_data.sections(1) for column in section.columns}
    assert not readable & {"token", "decided_by", "given_by", "removed_by", "created_by", "before_state"}


@pytest.mark.usefixtures("small_parts")
async def test_everything_of_a_member_comes_in_parts_with_pictures_that_may_be_shown(world: World):
    app, ada, bob = world.app, world.ada, world.bob
    painted = [await world.painted(f"=a fox {number}") for number in range(3)]
    hidden = await held(world)
    await world.painted("a cow of bob's", bob)
    await app.favourites.star(ada.id, painted[0].images[0].id)
    await app.favourites.keep(ada.id, painted[0].images[0].id, "Foxes", "the best one")
    await app.favourites.star(bob.id, painted[0].images[0].id)
    await app.members.choose_to_lend(ada.id, lends=True)
    settings = await app.guilds.get(world.guild.id)
    await app.strikes.give(world.guild.id, ada.id, by=bob.id, why="spam", settings=settings)
    await app.filters.add(world.guild.id, "cow", ada.id)

    begun = await press(world)
    assert begun.ephemeral
    assert begun.response
    assert begun.response.content.startswith("Export 1 has begun")
    await is_over(world)
    files = await parts(world)
    assert len(files) > 1
    assert [file.testzip() for file in files] == [None] * len(files)
    assert {row["idea"] for row in table(files, "jobs")} == {f"=a fox {n}" for n in range(3)} | {"too explicit"}
    assert [row["note"] for row in table(files, "favourites")] == ["the best one"]
    assert [row["lends_uploads"] for row in table(files, "member_settings")] == [True]
    assert [row["why"] for row in table(files, "strikes")] == ["spam"]
    assert [set(row) for row in table(files, "rules_as_moderator")] == [{"id", "created_at", "expires_at"}]
    pictures = {name: file.read(name) for file in files for name in file.namelist() if name.startswith("pictures/")}
    assert pictures == {f"pictures/{job.id}-1.png": app.images.read(job.images[0].sha256) for job in painted}
    said = "".join(file.read("README.txt").decode() for file in files)
    assert f"pictures/{hidden.id}-1" in said
    everything = said + "".join(file.read(name).decode("latin-1") for file in files for name in file.namelist())
    assert str(bob.id) not in everything
    assert "cow of bob" not in everything
    sheets = [(file, name) for file in files for name in file.namelist() if re.fullmatch(r"jobs-.*\.csv", name)]
    file, sheet = min(sheets, key=lambda found: found[1])
    cells = list(csv.DictReader(io.StringIO(file.read(sheet).decode("utf-8-sig"))))
    assert cells[0]["idea"] == "'=a fox 0"  # no formula
    assert not list(world.settings.data.rglob("*.zip"))


@pytest.mark.usefixtures("small_parts")
async def test_a_restart_and_refusals_end_in_the_same_files(world: World, monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        await world.painted(f"a fox {number}")
    world.env.inject_error(*DIRECT, status=413, code=40005, times=2)
    world.env.inject_error(*DIRECT, status=500, times=1)
    monkeypatch.setattr(exporting, "RETRY_SECONDS", 3600.0)
    await press(world)

    async def has_failed() -> bool:
        return len(world.env.http_requests) > 0 and _refused(world) >= 3

    await world.until(has_failed, "Discord refuses three times")
    again = await press(world)
    assert again.response
    assert "is on its way already" in again.response.content
    await world.restart()
    await is_over(world)
    files = await parts(world)
    assert sorted(row["idea"] for row in table(files, "jobs")) == [f"a fox {number}" for number in range(4)]
    assert sum(name.startswith("pictures/") for file in files for name in file.namelist()) == 4


def _refused(world: World) -> int:
    return sum(entry.path.endswith("/messages") and entry.method == "POST" for entry in world.env.http_requests)


async def test_without_direct_messages_it_comes_as_an_answer_and_then_waits(world: World):
    await world.painted("a fox")
    world.env.inject_error(*DIRECT, status=403, code=50007, times=None)
    begun = await press(world)
    await is_over(world)
    followups = [one for one in begun.followups if one.attachments]
    assert len(followups) == 1
    assert followups[0].ephemeral


@pytest.mark.usefixtures("small_parts")
async def test_a_member_who_leaves_meanwhile_gets_everything_as_answers(world: World):
    for number in range(3):
        await world.painted(f"a fox {number}")
    begun = await press(world)
    world.guild.remove_member(world.ada)
    world.env.inject_error(*DIRECT, status=403, code=NO_MUTUAL_SERVERS, times=None)
    await is_over(world)
    answers = [part for one in begun.followups for part in one.attachments]
    direct = await parts(world)
    zipped = [zipfile.ZipFile(io.BytesIO(await part.read())) for part in answers]
    assert sorted(row["idea"] for row in table([*direct, *zipped], "jobs")) == [
        f"a fox {number}" for number in range(3)
    ]
    assert answers


async def test_an_export_that_discord_refuses_waits_until_it_is_asked_again(world: World):
    await world.painted("a fox")
    world.env.inject_error(*DIRECT, status=403, code=50007, times=1)
    world.env.inject_error("POST", "/webhooks/*/*", status=404, code=10015, times=1)
    await press(world)

    async def waits() -> bool:
        export = await world.app.exports.of_member(world.ada.id)
        return export is not None and export.held_at is not None

    await world.until(waits, "the export waits")
    shown = await world.ada.slash(world.channel, "privacy")
    assert shown.response
    assert "Export 1 waits" in str([field.value for field in shown.response.embeds[0].fields])
    await press(world)
    await is_over(world)
    assert len(await parts(world)) == 1


async def test_one_that_nobody_lets_through_is_forgotten_after_a_week(app: App):
    export = await app.exports.ask(5, "en-US", token="t", expires_at=0.0)
    await app.exports.hold(export)
    assert await app.exports.next() is None
    assert await app.exports.of_member(5)
    async with app.database.begin() as session:
        await session.execute(update(Export).values(held_at=1.0))
    assert await app.exports.next() is None
    assert await app.exports.of_member(5) is None


async def test_members_take_turns(app: App):
    exports = app.exports
    numbers = [(await exports.ask(user, "en-US", token="t", expires_at=0.0)).id for user in (5, 6)]
    turns = [await exports.next() for _ in range(4)]
    assert [turn.id for turn in turns if turn] == numbers * 2


def test_many_pictures_take_little_memory(tmp_path: Path):
    picture = png((200, 200)) + bytes(80_000)
    tracemalloc.start()
    try:
        written = open_private(tmp_path / "all.zip")
        file = ExportFile(written, 1, None)
        for number in range(500):
            row = {"id": number, "idea": "a fox " * 800}
            assert file.add("images", row, {f"pictures/{number}-1.png": picture})
        file.close("")
        written.close()
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20 * 2**20
    with zipfile.ZipFile(tmp_path / "all.zip") as zipped:
        assert sum(name.startswith("pictures/") for name in zipped.namelist()) == file.pictures == 500


async def test_an_operator_exports_a_member_with_every_picture(world: World, tmp_path: Path, capsys: Any):
    await held(world)
    file = tmp_path / "ada.zip"
    assert await export_member(world.settings, world.ada.id, file)
    assert "1 pictures" in capsys.readouterr().out
    with zipfile.ZipFile(file) as zipped:
        assert [row["idea"] for row in table([zipped], "jobs")] == ["too explicit"]
        assert [name for name in zipped.namelist() if name.startswith("pictures/")]
    with pytest.raises(SetupError, match="is there already"):
        await export_member(world.settings, world.ada.id, file)
    assert not await export_member(world.settings, 77, tmp_path / "nobody.zip")
    assert sorted(path.name for path in tmp_path.glob("*.zip*")) == ["ada.zip"]


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """In this block a file grows to so many bytes, then writing fails as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no limit for files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_ends_an_operators_export_with_a_sentence(world: World, tmp_path: Path):
    job = await world.painted("a fox")
    world.app.images.path(job.images[0].sha256).write_bytes(bytes(2**23))
    with files_of_at_most(2**22), pytest.raises(SetupError, match=r"ada.zip cannot be written: File too large"):
        await export_member(world.settings, world.ada.id, tmp_path / "ada.zip")
    assert not [*tmp_path.glob("*.zip*")]
