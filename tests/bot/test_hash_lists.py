"""Lists of blocked pictures go from one server to another, and to the operator's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.moderation import hash_lists
from tests.bot.test_command_line import limner
from tests.other_clients import told
from tests.simulated_discord import World, png

ONE, OTHER, FAR = "f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f3", "0f0f0f0f0f0f0f0f"


async def test_moderators_import_and_export_a_list(world: World) -> None:
    assert "No picture is blocked" in told(await world.grace.slash(world.channel, "pictures export"))
    text = f"# of another server\n{ONE}, a remark\n\n{FAR.upper()}\n{ONE}\n"
    given = ("list.txt", text.encode())
    result = await world.grace.slash(world.channel, "pictures import", file=given)
    assert "2 blocked, 0 were blocked already." in told(result)
    assert "0 blocked, 2 were" in told(await world.grace.slash(world.channel, "pictures import", file=given))
    assert await world.app.blocked.has_like(world.guild.id, OTHER, 2)
    assert not await world.app.blocked.has_like(world.guild.id, OTHER, 1)
    exported = await world.grace.slash(world.channel, "pictures export")
    assert exported.response
    [file] = exported.response.message.attachments
    assert hash_lists.read(await file.read()) == [ONE, FAR]
    log = await world.grace.slash(world.channel, "filter log")
    assert log.response
    assert "2 pictures of a list" in str(log.response.message.embeds[0].description)
    wrong = await world.grace.slash(world.channel, "pictures import", file=("a.png", png()))
    assert "Line 1 has no hash" in told(wrong)


async def test_a_picture_is_compared_with_a_long_list_at_once(app: App) -> None:
    many = [f"{number:016x}" for number in range(hash_lists.MOST)]
    assert await app.blocked.block_all(0, many, 1) == hash_lists.MOST
    with pytest.raises(BadOption, match="at most 50,000"):
        await app.blocked.block_all(0, [ONE], 1)
    assert await app.blocked.has_like(None, f"{hash_lists.MOST - 1:016x}", 0)
    assert not await app.blocked.has_like(None, ONE, 6)


def test_the_command_prints_what_it_reads(tmp_path: Path) -> None:
    file, data = tmp_path / "list.txt", tmp_path / "data"
    file.write_text(f"{ONE}\n{FAR}\n")
    code, printed, _complaint = limner(data, "block", "--import", str(file), "--hashes")
    assert (code, printed) == (0, file.read_text())
    _code, printed, _complaint = limner(data, "block", "--server", "7", "--import", str(file), "--json")
    assert [one["phash"] for one in json.loads(printed)] == [ONE, FAR]
    file.write_text("no hash")
    code, _printed, complaint = limner(data, "block", "--import", str(file))
    assert (code, "Line 1 has no hash" in complaint) == (2, True)


@given(st.binary(max_size=300))
def test_any_file_is_a_list_or_is_refused(data: bytes) -> None:
    try:
        found = hash_lists.read(data)
    except BadOption:
        return
    assert hash_lists.read(hash_lists.write(found).encode()) == found


def test_a_list_that_is_too_long() -> None:
    with pytest.raises(BadOption, match="more than 50,000"):
        hash_lists.read(b"".join(b"%016x\n" % number for number in range(hash_lists.MOST + 1)))
