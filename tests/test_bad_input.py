"""What people and machines do wrong, end to end: one clear sentence each, nothing lost, nothing half-written."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from tests.discord_records import CHANNEL, Asked, Post, until
from tests.discord_server import DiscordServer
from tests.images_server import open_painting_server, settings_of
from tests.studio import Studio, open_studio

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(90),
    pytest.mark.xdist_group("bad_input"),
    pytest.mark.slow,  # each of these sentences has a quicker test in tests/bot
]

USER = 7
MODELS = "tiny=org/tiny@64x48,broken=org/broken@64x48"
FULL_DISK = '''
"""A full disk: while the file `full` is here, the worker cannot write a picture."""
import errno, os, pathlib, sys
here, flush = pathlib.Path(__file__).parent, os.fsync
def fsync(file):
    if "worker" in sys.argv and (here / "full").exists():
        raise OSError(errno.ENOSPC, "No space left on device")
    flush(file)
os.fsync = fsync
'''

REFUSED: dict[str, dict[str, Any]] = {
    "nothing but spaces": {"prompt": "   "},
    "nothing that can be seen": {"prompt": "\u200b\u200d\u2060\ufeff"},
    "10,000 characters": {"prompt": "cat " * 2500},
    "10,000 characters of what is not wanted": {"prompt": "a cat", "negative": "dog " * 2500},
    "only flags": {"prompt": "--seed 7 --ar 3:2"},
    "an unknown flag": {"prompt": "a cat --chaos 50"},
    "a flag without its value": {"prompt": "a cat --seed"},
    "a seed of 2^64": {"prompt": f"a cat --seed {2**64}"},
    "a negative seed": {"prompt": "a cat --seed -1"},
    "a size of 1 to 100000": {"prompt": "a cat --ar 1:100000"},
    "a size of nothing": {"prompt": "a cat --ar 0:1"},
    "99 pictures": {"prompt": "a cat --count 99"},
    "a million steps": {"prompt": "a cat --steps 1000000"},
    "an unknown model": {"prompt": "a cat", "model": "nonesuch"},
    "an unknown style": {"prompt": "a cat", "style": "nonesuch"},
}
ODD_BUT_GOOD: dict[str, str] = {
    "everyone is called": "@everyone @here <@&2000> <@7> a cat",
    "right to left": "\u202ea cat\u202c \u05d7\u05ea\u05d5\u05dc",
    "zero width inside": "a r\u200bed c\u200dat",
    "markdown": "**a** `cat` ||hidden|| [link](https://example.com) > # -#",
    "another script": "夕阳下的海滩",
    "a character that ends C strings": "a \0 cat",
    "as long as allowed": "a cat " * 250,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Studio]:
    """One running Limner for all of this file; at the end it still paints."""
    disk = tmp_path_factory.mktemp("disk")
    (disk / "sitecustomize.py").write_text(FULL_DISK)
    async with (
        DiscordServer(channels=2).open() as server,
        open_painting_server() as painting,
        open_studio(disk / "data", server, **settings_of(painting), models=MODELS) as studio,
    ):
        painting.is_noisy = True
        broken = studio.folder / "servers" / "broken" / "limner.json"
        broken.parent.mkdir(parents=True)
        broken.write_text("no such brace }")
        studio.python_path.insert(0, str(disk))
        await studio.start()
        yield studio
        assert (await _painted(studio, await _imagine(studio, prompt="a cat"))).files
        await studio.stop()
        assert server.unknown == []


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_in_one_private_sentence(studio: Studio, case: str) -> None:
    before = len(studio.rows())
    asked = await _imagine(studio, **REFUSED[case])
    _assert_private_sentence(asked)
    assert len(studio.rows()) == before


@pytest.mark.parametrize("case", ODD_BUT_GOOD)
async def test_painted_and_nobody_pinged(studio: Studio, case: str) -> None:
    post = await _painted(studio, await _imagine(studio, prompt=ODD_BUT_GOOD[case]))
    assert len(post.files) == 1
    for _, body, _ in post.edits:
        assert body["allowed_mentions"]["parse"] == []
        assert len(body["content"] or "") <= 2000


async def test_a_model_that_cannot_be_used_is_refused_before_the_queue(studio: Studio) -> None:
    before = len(studio.rows())
    asked = await _imagine(studio, prompt="a cat", model="broken")
    _assert_private_sentence(asked)
    assert asked.message
    assert "brace" not in asked.message.content
    assert "limner.json" not in asked.message.content
    assert len(studio.rows()) == before


async def test_a_locked_database_is_told_in_time(studio: Studio) -> None:
    before = len(studio.rows())
    with closing(sqlite3.connect(studio.folder / "limner.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asked = await _imagine(studio, prompt="a cat")
        other.execute("ROLLBACK")
    _assert_private_sentence(asked)
    assert len(studio.rows()) == before


async def test_a_full_disk_loses_nothing(studio: Studio) -> None:
    full = Path(studio.python_path[0]) / "full"
    full.touch()
    try:
        asked = await _imagine(studio, prompt="a dog", seed=99)
        await until(lambda: _troubles(studio) == ["disk"], 30, "the worker meets the full disk")
        assert (studio.rows()[-1]["status"], studio.rows()[-1]["attempts"]) == ("queued", 0)
        assert not any(name.endswith(".part") for name in studio.files())
    finally:
        full.unlink()
    assert len((await _painted(studio, asked)).files) == 1


async def test_a_deleted_message_is_not_posted_again(studio: Studio) -> None:
    gate = studio.server.hold(_is_result)
    asked = await _imagine(studio, prompt="a cat")
    await asyncio.wait_for(gate.reached.wait(), 30)
    assert asked.message
    asked.message.deleted = True
    before = len(studio.server.visible())
    _release(studio)
    await until(lambda: studio.rows()[-1]["delivered_at"], 30, "delivery lets it be")
    assert len(studio.server.visible()) == before


async def test_a_deleted_channel_and_a_member_who_left(studio: Studio) -> None:
    server = studio.server
    server.fail(lambda request: request.path.endswith("/users/@me/channels"), 403, code=50007)
    gate = server.hold(_is_result)
    await server.slash(USER, CHANNEL + 1, "imagine", prompt="a cat")
    await asyncio.wait_for(gate.reached.wait(), 30)
    server.channels.remove(CHANNEL + 1)
    _release(studio)
    await until(lambda: studio.rows()[-1]["delivered_at"], 30, "delivery lets it be")
    server.faults.clear()
    assert studio.rows()[-1]["status"] == "succeeded"


async def test_what_is_too_large_is_sent_smaller(studio: Studio) -> None:
    normal = await _painted(studio, await _imagine(studio, prompt="a cat", seed=5))
    studio.server.upload_limit = len(normal.files[0].data) - 1
    try:
        post = await _painted(studio, await _imagine(studio, prompt="a cat", seed=5))
    finally:
        studio.server.upload_limit = 10 * 2**20
    assert len(post.files[0].data) < len(normal.files[0].data)
    assert Image.open(io.BytesIO(post.files[0].data)).size == Image.open(io.BytesIO(normal.files[0].data)).size


async def test_discord_stumbles_and_the_picture_comes_all_the_same(studio: Studio) -> None:
    for status in (500, 502, 429):
        studio.server.fail(lambda request: request.method == "PATCH", status, fraction=0.3, times=3)
    asked = await _imagine(studio, prompt="a cat")
    before = len(studio.server.visible())
    assert len((await _painted(studio, asked)).files) == 1
    assert len(studio.server.visible()) == before
    studio.server.faults.clear()


async def test_a_corrupt_settings_file_stops_the_start_with_one_sentence(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "limner.toml").write_text("models = [")
    async with open_studio(tmp_path, studio.server) as corrupt:
        process = await corrupt.run("run", stderr=PIPE)
        _, error = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode not in (0, None)
    assert len(error.decode().strip().splitlines()) == 1
    assert "limner.toml" in error.decode()


async def _imagine(studio: Studio, **options: Any) -> Asked:
    return await studio.server.slash(USER, CHANNEL, "imagine", **options)


async def _settled(studio: Studio, asked: Asked) -> Post:
    """The message that answers a command, when nothing more will happen to it."""
    post = asked.message
    assert post
    assert post.public
    await until(lambda: _row(studio, post)["delivered_at"], 40, "the answer is delivered")
    return post


async def _painted(studio: Studio, asked: Asked) -> Post:
    post = await _settled(studio, asked)
    assert _row(studio, post)["status"] == "succeeded"
    return post


def _row(studio: Studio, post: Post) -> dict[str, Any]:
    return next((row for row in studio.rows() if row["message_id"] == post.id), {"delivered_at": None})


def _troubles(studio: Studio) -> list[str | None]:
    """What keeps the workers from storing pictures."""
    with closing(sqlite3.connect(studio.folder / "limner.db")) as connection:
        return [trouble for (trouble,) in connection.execute("SELECT trouble FROM workers")]


def _is_result(request: web.Request) -> bool:
    return request.content_type == "multipart/form-data"


def _release(studio: Studio) -> None:
    for gate in studio.server.gates:
        gate.open()
    studio.server.gates.clear()


def _assert_private_sentence(asked: Asked) -> None:
    assert asked.message
    assert asked.message.ephemeral
    text = asked.message.content
    assert text.endswith(".")
    assert len(text) < 400
    assert "Traceback" not in text
    assert "error in the bot" not in text
