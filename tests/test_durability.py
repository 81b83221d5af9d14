"""Accepted means answered, once: real processes are killed with kill -9 at every point of a request's life."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.discord_records import CHANNEL, Asked, until
from tests.discord_server import DiscordServer
from tests.faulty_plugin import entry_point
from tests.studio import Studio, Victim, open_studio
from tests.tiny_models import build_tiny_pipeline

pytestmark = pytest.mark.timeout(180)

USERS = (7, 8)
COUNT = 2
HANGING_DISK = '''
"""A disk that hangs: in the worker, the call whose name the file `hang` holds does not return while it is there."""
import os, pathlib, sys, time
here = pathlib.Path(__file__).parent
def hanging(name):
    call = getattr(os, name)
    def done(*args):
        result = call(*args)
        while "worker" in sys.argv and (here / "hang").exists() and (here / "hang").read_text() == name:
            (here / "hanging").touch()
            time.sleep(0.01)
        return result
    setattr(os, name, done)
hanging("fsync")
hanging("replace")
'''


WATCHED_EYES = '''
"""The real classifier, which hangs or fails while the file `hang` beside it says so."""
import pathlib, time
from limner.generators.vision.open_nsfw import OpenNsfwClassifier
here = pathlib.Path(__file__).parent
def told():
    return (here / "hang").read_text() if (here / "hang").exists() else ""
class WatchedClassifier(OpenNsfwClassifier):
    def look(self, image):
        if told() == "blind":
            raise RuntimeError("it is dark")
        while told() == "look":
            (here / "hanging").touch()
            time.sleep(0.01)
        return super().look(image)
'''


@dataclass
class Chat:
    """A language model's server that a test can hold up."""

    address: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _request: web.Request) -> web.Response:
        self.reached.set()
        await self.free.wait()
        message = {"role": "assistant", "content": "a red cat, soft morning light"}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@dataclass
class Scene:
    """All that a test can hold up from outside."""

    studio: Studio
    server: DiscordServer
    chat: Chat
    disk: Path
    asking: list[asyncio.Task[Asked]] = field(default_factory=list[asyncio.Task[Asked]])

    def ask(self, user: int = USERS[0], **options: Any) -> None:
        """Type /imagine, and do not wait: whoever answers may be killed before that."""
        command: dict[str, Any] = {"prompt": "a red cat", "seed": user, "count": COUNT, **options}
        self.asking.append(asyncio.create_task(self.server.slash(user, CHANNEL, "imagine", **command)))

    async def row(self, what: Callable[[dict[str, Any]], Any]) -> None:
        """Wait until a job's row is like that."""
        await until(lambda: any(what(row) for row in self.studio.rows()), 60, "a row like that")

    def free(self) -> None:
        """Nothing holds anybody up any more."""
        self.chat.free.set()
        (self.disk / "hang").unlink(missing_ok=True)
        for gate in self.server.gates:
            gate.open()
        self.server.gates.clear()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def scene(tmp_path: Path, tiny: Path) -> AsyncGenerator[Scene]:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "sitecustomize.py").write_text(HANGING_DISK)
    (disk / "watched_classifier.py").write_text(WATCHED_EYES)
    entry_point(disk, "limner.safety_classifiers", "watched = watched_classifier:WatchedClassifier")
    settings = {"models": f"tiny={tiny}", "expander": "off", "max_steps": 1000, "lease_seconds": 2}
    settings |= {"device": "cpu", "previews": "off", "safety_classifier": "watched"}
    async with (
        _chat() as chat,
        DiscordServer().open() as server,
        open_studio(tmp_path / "data", server, **settings, expander_url=chat.address) as studio,
    ):
        studio.python_path.insert(0, str(disk))
        scene = Scene(studio, server, chat, disk)
        yield scene
        for asking in scene.asking:
            asking.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await asking


@asynccontextmanager
async def _chat() -> AsyncGenerator[Chat]:
    chat, application = Chat(), web.Application()
    application.add_routes([web.post("/v1/chat/completions", chat.answer)])
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    chat.address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield chat
    await runner.cleanup()


async def queued(scene: Scene) -> None:
    await scene.studio.start(max_batch=COUNT)
    scene.ask(USERS[0], steps=200)
    await scene.row(lambda row: row["status"] == "running")
    scene.ask(USERS[1])
    await scene.row(lambda row: row["status"] == "queued" and row["user_id"] == USERS[1] and row["message_id"])
    assert any(row["status"] == "running" for row in scene.studio.rows())


async def expanding(scene: Scene) -> None:
    await scene.studio.start(expander="openai")
    scene.ask()
    await asyncio.wait_for(scene.chat.reached.wait(), 30)
    await scene.row(lambda row: row["status"] == "running" and row["prompt"] is None)


async def painting(scene: Scene) -> None:
    await scene.studio.start()
    scene.ask(USERS[0], steps=200)
    scene.ask(USERS[1], steps=200)
    await scene.row(lambda row: row["status"] == "running" and row["step"] > 0)


def _storing(call: str) -> Callable[[Scene], Awaitable[None]]:
    async def storing(scene: Scene) -> None:
        await scene.studio.start()
        (scene.disk / "hang").write_text(call)
        scene.ask()
        await until((scene.disk / "hanging").exists, 30, "the worker stores a picture")
        assert any(name.endswith(".part") for name in scene.studio.files()) == (call == "fsync")
        assert [row["status"] for row in scene.studio.rows()] == ["running"]

    return storing


def _looking(told: str) -> Callable[[Scene], Awaitable[None]]:
    async def looking(scene: Scene) -> None:
        await scene.studio.start()
        (scene.disk / "hang").write_text(told)
        scene.ask()
        if told == "look":
            await until((scene.disk / "hanging").exists, 30, "the worker looks at a picture")
            assert [row["status"] for row in scene.studio.rows()] == ["running"]
        else:
            await scene.row(lambda row: row["quarantine"] == "unseen" and row["looks"] > 0)
        assert not any(post.files for post in scene.server.visible())

    return looking


def _posting(*, heard: bool) -> Callable[[Scene], Awaitable[None]]:
    async def posting(scene: Scene) -> None:
        await scene.studio.start()
        gate = scene.server.hold(_is_result, heard=heard)
        scene.ask()
        await asyncio.wait_for(gate.reached.wait(), 30)
        assert [row["status"] for row in scene.studio.rows()] == ["succeeded"]
        assert any(post.files for post in scene.server.visible()) == heard

    return posting


def _answering(*, heard: bool) -> Callable[[Scene], Awaitable[None]]:
    async def answering(scene: Scene) -> None:
        await scene.studio.start()
        gate = scene.server.hold(lambda request: request.path.endswith("/callback"), heard=heard)
        scene.ask()
        await asyncio.wait_for(gate.reached.wait(), 30)
        assert [row["message_id"] for row in scene.studio.rows()] == [None]
        assert len(scene.server.visible()) == heard

    return answering


def _is_result(request: web.Request) -> bool:
    return request.content_type == "multipart/form-data"


POINTS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "before the first answer": _answering(heard=False),
    "before the first answer is known": _answering(heard=True),
    "queued": queued,
    "expanding": expanding,
    "painting": painting,
    "half-written": _storing("fsync"),
    "stored, not in the rows": _storing("replace"),
    "being looked at": _looking("look"),
    "not to be looked at": _looking("blind"),
    "before posting": _posting(heard=False),
    "before the post is known": _posting(heard=True),
}
VICTIMS: tuple[Victim, ...] = ("bot", "worker", "both")


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", POINTS)
async def test_killed_anywhere(scene: Scene, point: str, victim: Victim) -> None:
    await _survive(scene, POINTS[point], victim)


@pytest.mark.slow
async def test_a_request_that_always_takes_its_worker_down_ends_with_a_reason(scene: Scene) -> None:
    await scene.studio.start()
    scene.ask(steps=200)
    for attempt in (1, 2, 3):
        await scene.row(lambda row, n=attempt: row["attempts"] == n and row["status"] == "running" and row["step"] > 0)
        await scene.studio.kill("worker")
    scene.ask(USERS[1])
    await asyncio.gather(*scene.asking)
    await _all_delivered(scene)
    await scene.studio.stop()
    given_up, painted = scene.studio.rows()
    assert (given_up["status"], painted["status"]) == ("failed", "succeeded")
    assert given_up["reason"] in _text(scene.server.posts[given_up["message_id"]].body)
    assert len(scene.server.visible()) == 2


@pytest.mark.slow
async def test_two_bots_on_one_database_answer_once(scene: Scene) -> None:
    """A restart may overlap; what the second one does is its choice, what people see is not."""
    await scene.studio.start()
    second = await scene.studio.run("run")
    await until(lambda: len(scene.server.sessions) == 2 or second.returncode is not None, 30, "the second bot decides")
    for user in (7, 8, 9):
        await scene.server.slash(user, CHANNEL, "imagine", prompt="a red cat", seed=user, count=COUNT)
    await _all_delivered(scene)
    await scene.studio.stop()
    _assert_answered_once(scene, people=3)


@pytest.mark.slow
async def test_a_crowded_channel_keeps_to_discords_pace(scene: Scene) -> None:
    """Discord takes five edits in five seconds; progress must not use up what the pictures need."""
    scene.server.rate_limit = (5, 5.0)
    await scene.studio.start()
    for user in range(10, 22):
        scene.ask(user)
    await asyncio.gather(*scene.asking)
    await _all_delivered(scene)
    await scene.studio.stop()
    _assert_answered_once(scene, people=12)
    assert [event for event in scene.server.events if event[-1] == 429] == []


async def _survive(scene: Scene, reach: Callable[[Scene], Awaitable[None]], victim: Victim) -> None:
    await reach(scene)
    accepted = len(scene.studio.rows())
    await scene.studio.kill(victim)
    scene.free()
    old = time.time() - 120
    for part in scene.studio.folder.glob("images/*/*.part"):
        os.utime(part, (old, old))  # the store sweeps only what nobody can be writing any more
    if victim != "worker":
        await scene.studio.start(expander="off")
    await _all_delivered(scene)
    left = (".part", ".new")
    await until(lambda: not any(name.endswith(left) for name in scene.studio.files()), 10, "unfinished files go")
    await scene.studio.stop()
    _assert_answered_once(scene, people=accepted)


async def _all_delivered(scene: Scene) -> None:
    await until(lambda: all(row["delivered_at"] for row in scene.studio.rows()), 60, "every answer is delivered")


def _assert_answered_once(scene: Scene, *, people: int) -> None:
    images = scene.studio.rows("images")
    rows = [row for row in scene.studio.rows() if row["message_id"]]
    assert [row["status"] for row in rows] == ["succeeded"] * people
    posts = {post.id: post for post in scene.server.visible()}
    assert sorted(row["message_id"] for row in rows) == sorted(posts)
    for row in rows:
        shown = [hashlib.sha256(file.data).hexdigest() for file in posts[row["message_id"]].files]
        assert shown == [image["sha256"] for image in images if image["job_id"] == row["id"]]
        assert len(shown) == COUNT
    assert scene.studio.files() == {f"{image['sha256']}.png" for image in images}
    assert scene.server.unknown == []


def _text(body: dict[str, Any]) -> str:
    return str(body)
