"""The whole bot in a simulated Discord, in a browser page; everything but Discord is real."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, cast

import discord
import simcord
from discord.ext import commands

from limner.bot.background import cancel_on_signals, running
from limner.bot.client import LimnerBot
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.storage.migrate import upgrade

SETTLE_SECONDS = 30.0
"""How long the page waits for the answer to a click; a machine that paints may be slow."""
CLOCK_SECONDS = 10.0
"""How far the time shown on the page may be behind."""
BUSY_PAUSE = 0.1

WELCOME = """Limner is here: {url}

The page is a Discord channel with the bot in it. Type /imagine with an idea, such as: a red fox in the snow
Two people can use it: ada, a member, and grace, a moderator; choose between them under "Viewing as".
The first picture takes longer, while the models are loaded. Ctrl-C ends the demo.
"""


async def run_demo(settings: Settings, port: int = 0) -> None:
    """Serve the page until Ctrl-C, or until its session is ended there; port 0 takes a free one.

    Raises:
        SetupError: the port is taken, or the data folder cannot be used; its text says what to do.
    """
    await upgrade(settings.url)
    serving = asyncio.create_task(_serve(settings, port))
    cancel_on_signals(serving)
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(settings: Settings, port: int) -> None:
    async with open_page(settings, port) as page:
        print(WELCOME.format(url=page.url), flush=True)
        if _has_screen():
            await asyncio.to_thread(webbrowser.open, page.url)
        await page.wait_closed()


@asynccontextmanager
async def open_page(settings: Settings, port: int = 0) -> AsyncGenerator[simcord.Preview]:
    """The bot in a simulated Discord, and the page that shows it until the block ends."""
    bot = LimnerBot(settings, discord.Intents(guilds=True, messages=True))
    env = simcord.Env(bot, check_errors=False, settle_timeout=SETTLE_SECONDS)
    channel, people = _furnish(env)
    changed = asyncio.Event()

    async def note(_: object) -> None:
        changed.set()

    for event in ("on_message", "on_raw_message_edit", "on_raw_message_delete"):
        bot.add_listener(note, event)
    async with _logged_in(env):
        page = env.preview(channel, viewers=people, layout="channel", port=port)
        try:
            async with page, running(_refresh(page, changed), "limner-demo-page"):
                yield page
        except simcord.SetupError as error:
            raise SetupError(f"The page cannot be served: {error}; choose another one with --port.") from error


def _furnish(env: simcord.Env) -> tuple[simcord.ChannelHandle, list[simcord.MemberActor]]:
    """A server with a channel, a member and a moderator, made before anything else: so their ids are always the same.

    That is why /history shows the pictures of earlier demos.
    """
    guild = env.create_guild("Limner demo")
    rights = discord.Permissions(manage_messages=True, manage_guild=True)
    moderators = guild.create_role("Moderators", permissions=rights)
    ada = guild.add_member(env.create_user("ada"))
    grace = guild.add_member(env.create_user("grace"), roles=[moderators])
    return guild.create_text_channel("studio", topic="Type /imagine and an idea"), [ada, grace]


@asynccontextmanager
async def _logged_in(env: simcord.Env) -> AsyncGenerator[None]:
    bot = cast(commands.Bot, env.bot)
    try:
        await env.start()
        await _set_clock(env)  # the ids of messages come from it, and must not be those of an earlier demo
        await bot.tree.sync()  # this Discord knows no command yet, whatever the database remembers
        await cast(discord.ClientUser, bot.user).edit(username="Limner")
        yield
    except commands.ExtensionFailed as error:
        raise error.original from error
    finally:
        with suppress(commands.ExtensionNotLoaded):
            await bot.unload_extension("limner")
        await env.shutdown()


async def _refresh(page: simcord.Preview, changed: asyncio.Event) -> None:
    """Show what the bot has changed by itself: the page only shows what a click has changed."""
    alone = _let_clicks_wait(page)
    while True:
        try:
            async with asyncio.timeout(CLOCK_SECONDS):
                await changed.wait()
        except TimeoutError:
            pass
        try:
            async with alone:
                await _set_clock(page.env)
                if changed.is_set():
                    changed.clear()
                    await page.refresh()
        except simcord.SetupError:  # the simulation does one thing at a time, and is at something else
            changed.set()
            await asyncio.sleep(BUSY_PAUSE)


def _let_clicks_wait(page: simcord.Preview) -> asyncio.Lock:
    """A lock under which the page may be shown anew.

    SimCord refuses a click that comes just then, and one on a page that is not the newest; on Discord both count.
    """
    alone = asyncio.Lock()
    inside: Any = page
    act = inside._action

    async def wait_and_act(context: str, request: dict[str, Any]) -> Any:
        async with alone:
            newest = inside._get_page(context).revision
            return await act(context, request | {"published_revision": newest})

    inside._action = wait_and_act
    return alone


async def _set_clock(env: simcord.Env) -> None:
    behind = datetime.now(UTC) - env.now()
    await env.advance_time(max(0.0, behind.total_seconds()))


def _has_screen() -> bool:
    """Whether a browser can show itself; without a screen Python may start one inside the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
