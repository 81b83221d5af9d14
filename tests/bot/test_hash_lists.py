"""Lists of blocked pictures go from one server to another, and to the operator's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.moderation import hash_lists
from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.settings import Settings
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.storage.tables.picture_hashes import PictureHashes
from tests.bot.test_command_line import limner_here
from tests.other_clients import told
from tests.simulated_discord import World, png

ONE, OTHER, FAR = "f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f3", "0f0f0f0f0f0f0f0f"
LONG = "0123456789abcdef" * 4


async def is_blocked(app: App, guild_id: int | None, hashes: str, phash_alike: int = 6) -> bool:
    nearest = await app.blocked.nearest(guild_id, [PictureHashes.of_text(hashes)], phash_alike)
    return nearest is not None and nearest.is_alike


async def test_moderators_import_and_export_a_list(world: World) -> None:
    assert "No picture is blocked" in told(await world.grace.slash(world.channel, "pictures export"))
    text = f"# of another server\n{ONE}, a remark\n\n{FAR.upper()}\n{ONE}\n{LONG},100,a_file.jpg\n"
    given = ("list.txt", text.encode())
    result = await world.grace.slash(world.channel, "pictures import", file=given)
    assert "3 blocked, 0 were blocked already." in told(result)
    assert "0 blocked, 3 were" in told(await world.grace.slash(world.channel, "pictures import", file=given))
    assert await is_blocked(world.app, world.guild.id, OTHER, 2)
    assert not await is_blocked(world.app, world.guild.id, OTHER, 1)
    assert await is_blocked(world.app, world.guild.id, LONG[:-4] + "0000")
    assert not await is_blocked(world.app, None, LONG)
    exported = await world.grace.slash(world.channel, "pictures export")
    assert exported.response
    [file] = exported.response.message.attachments
    assert (await file.read()).decode() == f"{ONE} # a remark\n{FAR} # list.txt\n{LONG} # 100,a_file.jpg\n"
    listed = await world.grace.slash(world.channel, "pictures blocked")
    assert listed.response
    assert "**3** · 100,a\\_file.jpg · by" in str(listed.response.message.embeds[0].description)
    log = await world.grace.slash(world.channel, "filter log")
    assert log.response
    assert "3 pictures of a list" in str(log.response.message.embeds[0].description)
    wrong = await world.grace.slash(world.channel, "pictures import", file=("a.png", png()))
    assert "Line 1 has no hash" in told(wrong)


@pytest.mark.slow
async def test_a_picture_is_compared_with_a_long_list_at_once(app: App) -> None:
    many = [ListedPicture(PictureHashes(f"{number:016x}")) for number in range(hash_lists.MOST)]
    assert await app.blocked.block_all(0, many, 1) == hash_lists.MOST
    with pytest.raises(BadOption, match="at most 50,000"):
        await app.blocked.block_all(0, [ListedPicture(PictureHashes(ONE))], 1)
    assert await is_blocked(app, None, f"{hash_lists.MOST - 1:016x}", 0)
    assert not await is_blocked(app, None, ONE)


async def test_what_is_known_by_one_hash_gets_the_other_one(app: App) -> None:
    both = PictureHashes(ONE, LONG)
    assert await app.blocked.block_all(7, [ListedPicture(PictureHashes(ONE), "old")], 1) == 1
    row = await app.blocked.block(7, ListedPicture(both, "new"), 1)
    assert (row.hashes, row.remark) == (both, "old")
    assert await app.blocked.block_all(7, [ListedPicture(both), ListedPicture(PictureHashes(pdq=LONG))], 1) == 0
    assert await app.blocked.block_all(7, [ListedPicture(PictureHashes(FAR, LONG))], 1) == 1
    assert [one.hashes for one in await app.blocked.every(7)] == [both, PictureHashes(FAR)]
    assert (await app.blocked.block(7, ListedPicture(PictureHashes(pdq=LONG)), 1)).id == row.id


def test_the_command_prints_what_it_reads(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, data = tmp_path / "list.txt", settings.data
    file.write_text(f"{ONE} # a\n{LONG},{FAR} # b c\n")
    code, printed, _complaint = limner_here(capsys, data, "block", "--import", str(file), "--hashes")
    assert (code, printed) == (0, file.read_text())
    _code, printed, _complaint = limner_here(capsys, data, "block", "--server", "7", "--import", str(file), "--json")
    assert [(one["phash"], one["pdq"]) for one in json.loads(printed)] == [(ONE, None), (FAR, LONG)]
    _code, printed, _complaint = limner_here(capsys, data, "block")
    assert printed.splitlines() == [f"     1  {ONE}  a", f"     2  {LONG},{FAR}  b c"]
    file.write_text("no hash")
    code, _printed, complaint = limner_here(capsys, data, "block", "--import", str(file))
    assert (code, "Line 1 has no hash" in complaint) == (2, True)


LINES = st.from_regex(r"\A(([0-9a-f]{64},)?[0-9a-f]{16}([ ,#;].{0,9})?|[0-9A-F]{64}|#.*|)\Z")


@example(b"0000000000000000\t\0")
@example(b"0000000000000000,\0; # a")
@given(st.binary(max_size=300) | st.lists(LINES).map(lambda lines: "\n".join(lines).encode()))
def test_any_file_is_a_list_or_is_refused(data: bytes) -> None:
    try:
        found = hash_lists.read(data, "list.txt")
    except BadOption:
        return
    rows = [BlockedPicture(guild_id=0, created_by=0, created_at=0, remark=one.remark) for one in found]
    for row, one in zip(rows, found, strict=True):
        row.phash, row.pdq = one.hashes.phash, one.hashes.pdq
    assert hash_lists.read(hash_lists.write(rows).encode(), "list.txt") == found


def test_a_list_that_is_too_long() -> None:
    with pytest.raises(BadOption, match="more than 50,000"):
        hash_lists.read(b"".join(b"%016x\n" % number for number in range(hash_lists.MOST + 1)), "a")
