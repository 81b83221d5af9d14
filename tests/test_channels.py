"""Channels that refuse the bot: what can be mended is posted in the end, and its owner is told the truth until then."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass, replace

import discord
import pytest
import pytest_asyncio

from limner.bot.app import App, open_app
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job import job_messages
from tests.discord_places import Thread
from tests.discord_records import CHANNEL, GUILD, Asked, Post, until
from tests.discord_server import DiscordServer
from tests.rows import picture
from tests.simulated_discord import png
from tests.studio import Studio, open_studio

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("channels")]

ALL = discord.Permissions.all_channel().value
GONE, FIRST, SECOND, ELSEWHERE = CHANNEL + 1, CHANNEL + 2, CHANNEL + 3, CHANNEL + 900


def without(*names: str) -> int:
    """All permissions but these."""
    return ALL & ~discord.Permissions(**dict.fromkeys(names, True)).value


@dataclass
class Scene:
    """A real bot without workers, and the test as its painter."""

    studio: Studio
    server: DiscordServer
    app: App
    thread: Thread
    users: int = 100

    async def ask(self, channel: int = CHANNEL, prompt: str = "a red cat") -> Asked:
        """A member of this test's own types /imagine."""
        self.users += 1
        return await self.server.slash(self.users, channel, "imagine", prompt=prompt)

    async def paint(self) -> Job:
        """Finish what was asked for last, as a worker does."""
        [job] = await self.app.jobs.claim("painter", capacity=1)
        data = png()
        stored = replace(picture(self.app.images.save(data)), size=len(data))
        assert await self.app.jobs.finish(job, [stored], seconds=1.0, busy_seconds=1.0)
        return job

    async def held_back(self, job: Job) -> Job:
        return await self._row(job, "held_back_at")

    async def delivered(self, job: Job) -> Job:
        return await self._row(job, "delivered_at")

    def letters(self) -> list[str]:
        """What the bot has written to this test's member."""
        return [post.content for post in self.server.visible(self.users)]

    def log(self) -> str:
        return (self.studio.folder / "stderr").read_text(encoding="utf-8")

    async def _row(self, job: Job, name: str) -> Job:
        async with asyncio.timeout(20):
            while getattr(found := await self.app.jobs.get(job.id), name) is None:
                await asyncio.sleep(0.02)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Scene]:
    server = DiscordServer(channels=4)
    thread = server.add_thread()
    folder = tmp_path_factory.mktemp("channels") / "data"
    settings = {"workers": 0, "expander": "off", "safety_classifier": "off"}
    async with server.open(), open_studio(folder, server, **settings) as studio:
        own = Settings(data=studio.folder, safety_classifier="off")
        await migrate.upgrade(own.url)
        async with open_app(own) as app:
            scene = Scene(studio, server, app, thread)
            await app.filters.add(GUILD, "cow", 1, action="flag")
            await app.guilds.change(GUILD, 1, review_channel_id=FIRST)
            await start(scene)
            yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def scene(opened: Scene) -> AsyncGenerator[Scene]:
    """The same bot for all tests, and a Discord that refuses nothing."""
    yield opened
    server = opened.server
    assert server.unknown == []
    server.closed_dms, server.token_seconds = set(), 900.0
    await server.set_thread(opened.thread, archived=False)
    await server.permit(ALL)


async def start(scene: Scene) -> None:
    with (scene.studio.folder / "stderr").open("ab") as file:
        await scene.studio.start(stderr=file.fileno())


def shown(asked: Asked) -> Post:
    assert asked.message
    return asked.message


def tokens(scene: Scene) -> list[str]:
    with closing(sqlite3.connect(scene.studio.folder / "limner.db")) as database:
        return [token for (token,) in database.execute("SELECT token FROM answer_tokens")]


def assert_painted(post: Post) -> None:
    assert len(post.files) == 1
    assert "seed" in post.content
    assert not any("cancel" in custom_id for custom_id in post.custom_ids)


async def test_an_archived_thread_is_opened_for_the_answer(scene: Scene) -> None:
    asked = await scene.ask(scene.thread.id)
    await scene.server.set_thread(scene.thread, archived=True)
    await scene.delivered(await scene.paint())
    assert_painted(shown(asked))
    assert not scene.thread.archived
    assert scene.letters() == []


async def test_a_locked_thread_gets_its_answer_when_it_is_open_again(scene: Scene) -> None:
    asked = await scene.ask(scene.thread.id)
    await scene.server.set_thread(scene.thread, archived=True, locked=True)
    job = await scene.held_back(await scene.paint())
    assert job.delivered_at is None
    [letter] = scene.letters()
    assert letter.endswith(job_messages.THREAD_CLOSED.format(days=7))
    assert f"request {job.id} is done; /history id:{job.id} shows it" in letter
    await scene.server.set_thread(scene.thread, archived=False)
    await scene.delivered(job)
    assert_painted(shown(asked))
    assert len(scene.letters()) == 1


@pytest.mark.parametrize(
    ("missing", "name", "in_thread"),
    [
        ("view_channel", "View Channels", False),
        ("send_messages", "Send Messages", False),
        ("send_messages_in_threads", "Send Messages in Threads", True),
        ("attach_files", "Attach Files", False),
    ],
)
async def test_nothing_is_accepted_that_could_not_be_posted(
    scene: Scene, missing: str, name: str, in_thread: bool
) -> None:
    await scene.server.permit(without(missing))
    rows = len(scene.studio.rows())
    asked = await scene.ask(scene.thread.id if in_thread else CHANNEL)
    assert shown(asked).ephemeral
    assert f"I lack a permission ({name})." in shown(asked).content
    assert len(scene.studio.rows()) == rows


async def test_a_button_is_refused_in_the_same_way(scene: Scene) -> None:
    asked = await scene.ask()
    job = await scene.delivered(await scene.paint())
    await scene.server.permit(without("attach_files"))
    again = await scene.server.click(scene.users, shown(asked), f"limner:reroll:{job.id}")
    assert shown(again).ephemeral
    assert "Attach Files" in shown(again).content


@pytest.mark.parametrize("missing", ["view_channel", pytest.param("attach_files", marks=pytest.mark.slow)])
async def test_a_lost_permission_does_not_matter_for_15_minutes_even_after_a_restart(
    scene: Scene, missing: str
) -> None:
    asked = await scene.ask()
    await until(lambda: tokens(scene) == [asked.token], what="the token is kept")
    await scene.server.permit(without(missing))
    await scene.studio.kill("both")
    job = await scene.paint()
    await start(scene)
    await scene.delivered(job)
    assert_painted(shown(asked))
    assert scene.letters() == []
    assert tokens(scene) == []
    assert asked.token not in scene.log()


async def test_a_member_brings_the_bot_along_to_a_server_that_it_is_not_in(scene: Scene) -> None:
    scene.server.elsewhere.add(ELSEWHERE)
    asked = await scene.ask(ELSEWHERE)
    job = await scene.delivered(await scene.paint())
    assert_painted(shown(asked))
    assert not job.is_age_restricted  # its own channel is; what the bot does not know counts as ordinary
    assert scene.server.visible(ELSEWHERE) == [shown(asked)]
    assert scene.letters() == []
    assert tokens(scene) == []
    await scene.ask(ELSEWHERE, "a naked child")
    [row] = await scene.app.history.page(None, every_status=True, limit=1)
    assert (row.status, row.reason_code, row.idea) == (JobStatus.REFUSED, "filter:floor-minors", "")


async def test_there_the_member_gets_a_letter_once_the_token_has_expired(scene: Scene) -> None:
    scene.server.elsewhere.add(ELSEWHERE)
    asked = await scene.ask(ELSEWHERE)
    scene.server.token_seconds = 0.0
    job = await scene.held_back(await scene.paint())
    [letter] = scene.letters()
    assert letter.endswith(job_messages.NO_MEMBER)
    assert f"request {job.id} is done; /history id:{job.id} shows it" in letter
    assert "queued" in shown(asked).content


async def test_a_member_asks_in_a_direct_message(scene: Scene) -> None:
    scene.server.channels.append(scene.users + 1)
    asked = await scene.ask(scene.users + 1)
    job = await scene.delivered(await scene.paint())
    assert_painted(shown(asked))
    assert (job.guild_id, job.is_age_restricted) == (None, False)
    assert asked.token not in tokens(scene)


async def test_after_that_it_is_posted_when_the_permission_is_given(scene: Scene) -> None:
    asked = await scene.ask()
    scene.server.token_seconds = 0.0
    await scene.server.permit(without("view_channel"))
    job = await scene.held_back(await scene.paint())
    [letter] = scene.letters()
    assert letter.endswith(job_messages.NOT_PERMITTED.format(missing="View Channels", days=7))
    await scene.server.permit(ALL)
    await scene.delivered(job)
    assert_painted(shown(asked))
    assert len(scene.letters()) == 1


async def test_a_message_tells_that_it_lacks_the_permission_for_its_pictures(scene: Scene) -> None:
    asked = await scene.ask()
    scene.server.token_seconds = 0.0
    await scene.server.permit(without("attach_files"))
    job = await scene.held_back(await scene.paint())
    assert shown(asked).content.endswith(job_messages.NO_ATTACHING.format(days=7))
    assert scene.letters() == []
    await scene.server.permit(ALL)
    await scene.delivered(job)
    assert_painted(shown(asked))


async def test_who_takes_no_messages_gets_the_picture_all_the_same(scene: Scene) -> None:
    asked = await scene.ask()
    scene.server.closed_dms.add(scene.users)
    scene.server.token_seconds = 0.0
    await scene.server.permit(without("view_channel"))
    job = await scene.held_back(await scene.paint())
    assert scene.letters() == []
    await scene.server.permit(ALL)
    await scene.delivered(job)
    assert_painted(shown(asked))


async def test_a_channel_that_is_gone_is_told_once(scene: Scene) -> None:
    await scene.ask(GONE)
    scene.server.channels.remove(GONE)
    job = await scene.delivered(await scene.paint())
    [letter] = scene.letters()
    assert letter.endswith(job_messages.CHANNEL_GONE)
    assert f"/history id:{job.id}" in letter


async def test_what_discord_refuses_for_itself_leaves_no_placeholder(scene: Scene) -> None:
    """Such as words that the server's own AutoMod blocks."""
    asked = await scene.ask()
    scene.server.fail(lambda request: request.method == "PATCH", 400, code=200000, times=1)
    job = await scene.delivered(await scene.paint())
    assert shown(asked).content == job_messages.NOT_TAKEN.format(code=200000)
    assert f"limner:details:{job.id}" in shown(asked).custom_ids


async def test_a_review_card_comes_again_when_the_server_chooses_another_channel(scene: Scene) -> None:
    """Discord compares nonces over all channels: with the same one it would answer with the card that it has."""
    await scene.ask(prompt="a cow")
    await scene.paint()
    await until(lambda: scene.server.visible(FIRST), what="the card")
    await scene.app.guilds.change(GUILD, 1, review_channel_id=SECOND)
    await until(lambda: scene.server.visible(SECOND), what="the card in the other channel")
    assert any("review" in custom_id for custom_id in scene.server.visible(SECOND)[0].custom_ids)
