"""Discord in memory (SimCord) with Limner in it, for tests: the bot's real code, members who type and click."""

from __future__ import annotations

import asyncio
import io
import json
import marshal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import discord
import pytest
import simcord
from discord import app_commands
from discord.ext import commands
from PIL import Image

from limner.bot.app import App
from limner.bot.client import LimnerBot
from limner.bot.errors import UserError
from limner.bot.plugin import APP
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job, Seen
from limner.bot.ui import uploads
from limner.bot.ui.controls import parts_of
from tests import cheap_decoder
from tests.discord_records import LONGEST_PAUSE
from tests.discord_spec import complaints
from tests.rows import seen

T = TypeVar("T")
HARMLESS = seen()


class World:
    """A server "Studio" with the channel #studio, the members ada and bob, and the moderator grace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bot: commands.Bot = LimnerBot(settings)
        self.env = simcord.Env(self.bot, check_errors=False)

    async def open(self) -> None:
        """Log the bot in; Discord's clock shows the present, because message ids carry it."""
        await self.env.start()
        now = datetime.now(UTC)
        await self.env.advance_time((now - self.env.now()).total_seconds())
        self.guild = self.env.create_guild("Studio")
        self.channel = self.guild.create_text_channel("studio")
        moderators = self.guild.create_role(
            "Moderators", permissions=discord.Permissions(manage_messages=True, manage_guild=True)
        )
        self.ada = self.guild.add_member(self.env.create_user("ada"))
        self.bob = self.guild.add_member(self.env.create_user("bob"))
        self.grace = self.guild.add_member(self.env.create_user("grace"), roles=[moderators])

    async def close(self) -> None:
        """Stop everything, and fail for what went wrong in the bot without being a sentence for somebody."""
        with suppress(commands.ExtensionNotLoaded):
            await self.bot.unload_extension("limner")
        await self.env.shutdown()
        errors = [getattr(error, "original", error) for error in self.env.errors]
        assert [error for error in errors if not isinstance(error, UserError)] == []
        sent = self.env.http_requests
        assert [
            one for entry in sent for one in complaints(entry.method, entry.path, entry.json, reason=entry.reason)
        ] == []

    async def restart(self) -> None:
        """Stop the bot and start another one on the same Discord and the same data."""
        with kept_modules():
            await self.bot.unload_extension("limner")
        self.bot = LimnerBot(self.settings)
        await self.env.restart_bot(self.bot)

    @property
    def app(self) -> App:
        """The App that the bot has open."""
        return vars(self.bot)[APP]

    async def imagine(self, prompt: str = "a red fox", who: simcord.MemberActor | None = None, **options: Any) -> Job:
        """Type /imagine; the row that it made."""
        result = await (who or self.ada).slash(self.channel, "imagine", prompt=prompt, **options)
        assert result.response
        assert not result.ephemeral, result.response.content
        return await self.newest()

    async def refused(self, prompt: str = "a red fox", who: simcord.MemberActor | None = None, **options: Any) -> str:
        """Type /imagine; the sentence that only its asker sees."""
        result = await (who or self.ada).slash(self.channel, "imagine", prompt=prompt, **options)
        assert result.response
        assert result.ephemeral, result.response.content
        return result.response.content

    async def newest(self) -> Job:
        """The row that was written last."""
        jobs = await self.app.history.page(None, every_status=True, limit=1)
        return jobs[0]

    async def claim(self) -> Job:
        """Take the job whose turn it is, as a worker does."""
        [job] = await self.app.jobs.claim("painter", capacity=1)
        return job

    async def finish(
        self, job: Job, *, count: int = 1, size: tuple[int, int] = (16, 16), look: Seen | None = HARMLESS
    ) -> None:
        """Store real pictures for a claimed job, as a worker does; ``look`` is the classifier's result."""
        pictures = [replace(_picture(self.app, seed, size), seen=look) for seed in range(count)]
        assert await self.app.jobs.finish(job, pictures, seconds=1.25, busy_seconds=1.0)

    async def painted(self, prompt: str = "a red fox", who: simcord.MemberActor | None = None, **options: Any) -> Job:
        """/imagine, a worker's part, and the delivery."""
        await self.imagine(prompt, who, **options)
        await self.finish(await self.claim())
        return await self.delivered(await self.newest())

    async def delete(self, job: Job, who: simcord.MemberActor | None = None) -> simcord.InteractionResult:
        """Press Delete under a job's message, and then the button that does it."""
        asked = await (who or self.ada).click(self.message(job), custom_id=f"limner:delete:{job.id}")
        assert asked.response
        assert asked.ephemeral
        return await (who or self.ada).click(asked.response, custom_id=f"limner:erase:{job.id}")

    async def delivered(self, job: Job, seconds: float = 10.0) -> Job:
        """Wait until a job's answer is posted; its row then."""
        await self.until(lambda: self._is_delivered(job.id), f"job {job.id} is delivered", seconds)
        return await self.app.jobs.get(job.id)

    def message(self, job: Job) -> discord.Message:
        """The message that is a job's answer, as everybody sees it now."""
        return next(message for message in self.channel.history() if message.id == job.message_id)

    async def settled(self, job: Job, text: str) -> discord.Message:
        """Wait until a job's message says something."""

        async def says() -> bool:
            return text in text_of(self.message(job))

        await self.until(says, f"the message says {text!r}")
        return self.message(job)

    async def until(self, look: Callable[[], Awaitable[T]], what: str, seconds: float = 20.0) -> T:
        """Look again and again, less and less often, until something is seen."""
        deadline, pause = time.monotonic() + seconds, 0.01
        while not (seen := await look()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_PAUSE)
        return seen

    def restrict(self, is_age_restricted: bool) -> None:
        """Send the event that the channel's age restriction is switched on or off (SimCord cannot)."""
        channel = self.bot.get_channel(self.channel.id)
        assert isinstance(channel, discord.TextChannel)
        channel.nsfw = is_age_restricted

    async def _is_delivered(self, job_id: int) -> bool:
        return (await self.app.jobs.get(job_id)).delivered_at is not None


def labels(message: discord.Message) -> list[str | None]:
    """What a message's buttons say."""
    return [part.label for part in parts_of(message) if isinstance(part, discord.Button)]


def offered(message: discord.Message) -> list[str]:
    """The values that a message's selects offer."""
    return [
        option.value for part in parts_of(message) if isinstance(part, discord.SelectMenu) for option in part.options
    ]


def text_of(message: discord.Message) -> str:
    """What a message says: its text, or the texts of its components."""
    texts = [part.content for part in parts_of(message) if isinstance(part, discord.TextDisplay)]
    return "\n".join(filter(None, [message.content, *texts]))


def png(size: tuple[int, int] = (16, 16), shade: int = 0) -> bytes:
    """A real picture."""
    file = io.BytesIO()
    Image.new("RGB", size, (200, shade % 256, 40)).save(file, "PNG")
    return file.getvalue()


def slow_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every upload takes longer than Discord waits for an answer; SimCord's clock would not say so."""

    async def wait(tasks: set[asyncio.Task[str]], timeout: float) -> tuple[set[object], set[asyncio.Task[str]]]:
        return set(), tasks

    monkeypatch.setattr(uploads, "asyncio", SimpleNamespace(**{**vars(asyncio), "wait": wait}))


@pytest.fixture(scope="session", autouse=True)
def commands_are_translated_once() -> Generator[None]:
    """All bots of this process have the same commands; translating them takes as long as the rest of a start."""
    translated = dict[tuple[type[Any], bytes], dict[str, Any]]()

    def remembering(kind: type[Any]) -> Callable[..., Awaitable[dict[str, Any]]]:
        plain = kind.get_translated_payload

        async def payload(command: Any, tree: Any, translator: Any) -> dict[str, Any]:
            key = cast(type[Any], type(translator)), marshal.dumps(command.to_dict(tree), 2)
            if key not in translated:
                translated[key] = json.loads(json.dumps(await plain(command, tree, translator)))
            return translated[key]

        return payload

    with pytest.MonkeyPatch.context() as patch:
        for kind in (app_commands.Command, app_commands.Group, app_commands.ContextMenu):
            patch.setattr(kind, "get_translated_payload", remembering(kind))
        yield


@contextmanager
def kept_modules() -> Generator[None]:
    """discord.py forgets an extension's modules when it unloads it; tests hold classes of them."""
    before = {name: module for name, module in sys.modules.items() if name == "limner" or name.startswith("limner.")}
    try:
        yield
    finally:
        sys.modules.update(before)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[World]:
    """Limner in a simulated Discord. Nobody paints unless the test does."""
    with kept_modules(), cheap_decoder.used():
        world = World(settings)
        await world.open()
        try:
            yield world
        finally:
            await world.close()


@pytest.fixture
async def world(settings: Settings) -> AsyncGenerator[World]:
    """Limner in a simulated Discord with the settings of the test."""
    async with opened(settings) as world:
        yield world


@pytest.fixture
async def limner_bot(world: World) -> commands.Bot:
    """The stand-alone bot, logged in."""
    return world.bot


def _picture(app: App, seed: int, size: tuple[int, int]) -> StoredPicture:
    data = png(size, seed)
    return StoredPicture(app.images.save(data), *size, len(data), seed)
