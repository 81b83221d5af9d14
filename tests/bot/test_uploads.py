"""Files that members attach: nothing of a request that is refused anyway is downloaded, opened or stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import discord
import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cogs.describe import MENU
from limner.bot.cogs.pictures import BLOCK
from limner.bot.errors import QueueFull
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.uploads import download
from tests.pictures import drawn, saved
from tests.rows import asked
from tests.simulated_discord import World

PICTURE = ("fox.png", saved(drawn()))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.using(image_text_model="there/is-one")


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that the bot fetches from Discord."""
    fetched: list[str] = []
    read = discord.Attachment.read

    async def noted(self: discord.Attachment, **more: Any) -> bytes:
        fetched.append(self.filename)
        await asyncio.sleep(0.05)  # so that others come in between
        return await read(self, **more)

    monkeypatch.setattr(discord.Attachment, "read", noted)
    return fetched


async def suspend(world: World) -> None:
    settings = await world.app.guilds.change(world.guild.id, 1, strike_limit=1)
    await world.app.strikes.give(world.guild.id, world.ada.id, by=1, why="spam", settings=settings)


async def fill(world: World) -> None:
    for number in range(world.settings.max_jobs_per_user):
        await world.imagine(f"fox {number}")


async def paints(world: World) -> Any:
    return await world.ada.slash(world.channel, "imagine", prompt="a fox", image=PICTURE)


async def describes(world: World) -> Any:
    return await world.ada.slash(world.channel, "describe", picture=PICTURE)


async def describes_by_menu(world: World) -> Any:
    message = await world.bob.send(world.channel, "look", attachments=[PICTURE])
    return await world.ada.context_menu(world.channel, MENU, message)


async def let_in(world: World, name: str) -> None:
    """The owner lets ada use a command; what she may do there is the bot's to decide."""
    commands = await world.bot.tree.fetch_commands()
    world.guild.set_command_permissions(next(one for one in commands if one.name == name), {world.ada: True})


async def imports_without_right(world: World) -> Any:
    await let_in(world, "filter")
    return await world.ada.slash(world.channel, "filter import", file=("rules.txt", b"purple cow"))


async def blocks_without_right(world: World) -> Any:
    await let_in(world, BLOCK)
    message = await world.bob.send(world.channel, "look", attachments=[PICTURE])
    return await world.ada.context_menu(world.channel, BLOCK, message)


async def asks_for_an_unknown_model(world: World) -> Any:
    return await world.ada.slash(world.channel, "imagine", prompt="a fox", image=PICTURE, model="nonesuch")


async def asks_for_too_much(world: World) -> Any:
    return await world.ada.slash(world.channel, "imagine", prompt="a fox --steps 5000", image=PICTURE)


async def nothing(world: World) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "asks"),
    [
        *((before, asks) for before in (suspend, fill) for asks in (paints, describes, describes_by_menu)),
        (nothing, blocks_without_right),
        (nothing, imports_without_right),
        (nothing, asks_for_an_unknown_model),
        (nothing, asks_for_too_much),
    ],
)
async def test_who_may_not_ask_costs_no_download(
    world: World,
    downloads: list[str],
    before: Callable[[World], Awaitable[None]],
    asks: Callable[[World], Awaitable[Any]],
) -> None:
    await before(world)
    rows = await world.app.history.count(None, every_status=True)
    result = await asks(world)
    assert result.ephemeral
    assert result.response.content
    assert downloads == []
    assert list(world.app.images.folder.rglob("*.png")) == []
    assert await world.app.history.count(None, every_status=True) == rows


class Attached:
    """What discord.py gives of an attachment, as far as it is used before the file is read."""

    filename, size = PICTURE[0], len(PICTURE[1])

    def __init__(self) -> None:
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        await asyncio.sleep(0.01)  # so that others come in between
        return PICTURE[1]


async def test_of_many_uploads_of_one_member_only_as_many_are_fetched_as_they_may_ask_for(app: App) -> None:
    most, attached = app.settings.max_jobs_per_user, Attached()
    ask = asked(text="a fox", user_id=7, guild_id=5)

    async def paint() -> Job:
        file = cast(discord.Attachment, attached)
        async with download(app, ask.user_id, file, lambda: submit.check(app, ask)) as data:
            taken = await app.inputs.store(data)
        return await submit.imagine(app, ask.saying(image=taken))

    ends = await asyncio.gather(*(paint() for _ in range(4 * most)), return_exceptions=True)
    assert sum(isinstance(end, Job) for end in ends) == most
    assert sum(isinstance(end, QueueFull) for end in ends) == 3 * most
    assert attached.reads == most
