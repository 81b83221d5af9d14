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
from aiohttp import web
from discord.ext import commands
from simcord.backend.access import can_access_channel

from limner.bot.background import cancel_on_signals, running
from limner.bot.client import LimnerBot
from limner.bot.errors import SetupError, UserError
from limner.bot.settings import Settings
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import app_of
from limner.bot.worker.launch import Launched

SETTLE_SECONDS = 30.0
"""How long the page waits for the answer to a click; a busy machine may be slow."""
CLOCK_SECONDS = 10.0
"""How far the page's clock may lag."""
BUSY_PAUSE = 0.1
MENDED = {
    "/timeline.js": (
        "ui.timeline.clientHeight <= 1 ?",
        'ui.timeline.clientHeight <= 1 || (state.scrollIntent?.policy === "bottom" '
        "&& ui.timeline.scrollTop >= (state.scrollIntent.oldScrollTop ?? 0)) ?",
    ),
    "/messages.js": (
        "\n    root.append(list);",
        '\n    root.insertBefore(list, root.querySelector(":scope > .message-components"));',
    ),
}
"""Replacements in the page's scripts."""

WELCOME = N_("""Limner is here: {url}

The page is a Discord channel with the bot in it. Type /imagine with an idea, such as: a red fox in the snow
Three people can use it: ada and bob, members, and grace, a moderator; choose between them under "Viewing as".
The server has three channels; type #moderators, #after-dark or #studio into the page to see another one.
The first picture takes longer, while the models are loaded. Ctrl-C ends the demo.
""")
PINNED = N_("""**Three things to try**
1. Type `/imagine prompt:a red fox in the snow`, then press a button under the picture.
2. Choose grace under "Viewing as" and forbid a word with `/filter add`; then ask for it as ada.
3. As grace type `#moderators`: flagged requests wait there. `#after-dark` is age-restricted; `#studio` leads back.""")
PLACES = {
    "studio": N_("Type /imagine and an idea"),
    "moderators": N_("Cards to decide on"),
    "after-dark": N_("Age-restricted"),
}
"""Channel topics by channel name."""


async def run_demo(settings: Settings, early: list[Launched], port: int = 0) -> None:
    """Serve the page until Ctrl-C or until its session ends; port 0 takes a free one.

    Raises:
        SetupError: the port is taken, or the data folder cannot be used; its text says what to do.
    """
    serving = asyncio.create_task(_serve(settings, early, port))
    cancel_on_signals(serving)
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(settings: Settings, early: list[Launched], port: int) -> None:
    async with open_page(settings, port, early) as page:
        print(_(WELCOME, url=page.url), flush=True)
        if _has_screen():
            await asyncio.to_thread(webbrowser.open, page.url)
        await page.wait_closed()


@asynccontextmanager
async def open_page(
    settings: Settings, port: int = 0, early: list[Launched] | None = None
) -> AsyncGenerator[simcord.Preview]:
    """The bot in a simulated Discord, and its page, for the length of the block; ``early`` is a worker that runs."""
    bot = LimnerBot(settings, discord.Intents(guilds=True, messages=True), early=early)
    env = simcord.Env(bot, check_errors=False, settle_timeout=SETTLE_SECONDS)
    _keep_refusals_out_of_the_inspector(env)
    guild, people = _furnish(env)
    changed = asyncio.Event()

    async def note(_: object) -> None:
        changed.set()

    for event in ("on_message", "on_raw_message_edit", "on_raw_message_delete"):
        bot.add_listener(note, event)
    async with _logged_in(env):
        _note_private_edits(env, changed)
        await _welcome(bot, guild, people[-1])
        page = env.preview(guild.channels["studio"], viewers=people, layout="channel", port=port)
        _mend_scripts(page)
        try:
            async with page, running(_refresh(page, changed), "limner-demo-page"):
                yield page
        except simcord.SetupError as error:
            raise SetupError(
                _("The page cannot be served: {error}; choose another one with --port.", error=error)
            ) from error


def _furnish(env: simcord.Env) -> tuple[simcord.GuildHandle, list[simcord.MemberActor]]:
    """Creates the server, its channels, two members and a moderator first, so that their ids are always the same.

    Therefore /history shows the pictures of earlier demos.
    """
    guild = env.create_guild(_("Limner demo"))
    everyone, own = guild.roles.values()
    rights = discord.Permissions(manage_messages=True, manage_guild=True)
    moderators = guild.create_role(_("Moderators"), permissions=rights)
    ada = guild.add_member(env.create_user("ada"))
    grace = guild.add_member(env.create_user("grace"), roles=[moderators])
    shown, hidden = (discord.PermissionOverwrite(view_channel=seen) for seen in (True, False))
    for name, topic in PLACES.items():
        rules: dict[Any, discord.PermissionOverwrite] = {everyone: hidden, own: shown, moderators: shown}
        guild.create_text_channel(name, topic=topic, overwrites=rules if name == "moderators" else None)
    return guild, [ada, guild.add_member(env.create_user("bob")), grace]


async def _welcome(bot: LimnerBot, guild: simcord.GuildHandle, moderator: simcord.MemberActor) -> None:
    """Pins the suggestions, and sets the moderators' channel for review cards unless one is set."""
    await moderator.set_pinned(await moderator.send(guild.channels["studio"], _(PINNED)), True)
    restricted = cast(discord.TextChannel, bot.get_channel(guild.channels["after-dark"].id))
    restricted.nsfw = True  # SimCord has no age restriction
    guilds = app_of(bot).guilds
    if (await guilds.get(guild.id)).review_channel_id is None:
        await guilds.change(guild.id, moderator.id, review_channel_id=guild.channels["moderators"].id)


@asynccontextmanager
async def _logged_in(env: simcord.Env) -> AsyncGenerator[None]:
    bot = cast(commands.Bot, env.bot)
    try:
        await env.start()
        await _set_clock(env)  # message ids derive from it and must not repeat an earlier demo's
        await bot.tree.sync()  # this Discord has no commands yet, whatever the database says
        await cast(discord.ClientUser, bot.user).edit(username="Limner")
        yield
    except commands.ExtensionFailed as error:
        raise error.original from error
    finally:
        with suppress(commands.ExtensionNotLoaded):
            await bot.unload_extension("limner")
        await env.shutdown()


def _note_private_edits(env: simcord.Env, changed: asyncio.Event) -> None:
    """Notes edits of answers that only one member sees: of them Discord sends no event."""
    adapter: Any = env
    adapter = adapter._webhook_adapter
    request = adapter.request

    async def request_and_note(route: Any, *others: Any, **options: Any) -> Any:
        answer = await request(route, *others, **options)
        if route.method == "PATCH":
            changed.set()
        return answer

    adapter.request = request_and_note


async def _refresh(page: simcord.Preview, changed: asyncio.Event) -> None:
    """Refreshes the page after the bot's own edits: the page itself refreshes only after clicks."""
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
        except (simcord.SetupError, TimeoutError):  # the simulation is busy with another action
            changed.set()
            await asyncio.sleep(BUSY_PAUSE)


def _let_clicks_wait(page: simcord.Preview) -> asyncio.Lock:
    """A lock for refreshing the page.

    SimCord refuses a click during a refresh, and one on an outdated page; on Discord both count.
    """
    alone = asyncio.Lock()
    inside: Any = page
    act, first = inside._action, page.channel

    async def wait_and_act(context: str, request: dict[str, Any]) -> Any:
        async with alone:
            await _set_clock(page.env)
            inside._advance_presentation_time()  # otherwise a new message is "in 2 minutes"
            shown = inside._get_page(context)
            request = _go(page, shown, request)
            try:
                return await act(context, request | {"published_revision": shown.revision})
            finally:
                page.channel = first

    inside._action = wait_and_act
    return alone


def _go(page: simcord.Preview, shown: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Acts in the shown channel, and switches the channel when a name is typed; SimCord itself shows only one.

    A channel that the viewer may not see leads to the first one.
    """
    channels = cast(simcord.GuildHandle, page.channel.guild).channels
    typed, viewer = str(request.get("content")).strip(), request.get("viewer_id", shown.viewer.id)
    wanted = channels.get(typed[1:]) if request.get("kind") == "send_message" and typed.startswith("#") else None
    if wanted:
        request = request | {"kind": "viewer", "viewer_id": viewer}
    else:
        wanted = next(one for one in channels.values() if one.id == shown.channel_id)
    [looking] = [one for one in page.viewers if str(one.id) == str(viewer)]
    if can_access_channel(page.env, wanted.id, looking, history=True):
        page.channel = wanted
    shown.channel_id = page.channel.id
    return request


def _keep_refusals_out_of_the_inspector(env: simcord.Env) -> None:
    """Hides user-facing errors from SimCord's list of crashes."""
    inside: Any = env
    record = inside._record_error

    def record_crash(error: BaseException) -> None:
        if not isinstance(getattr(error, "original", error), UserError | discord.app_commands.CheckFailure):
            record(error)

    inside._record_error = record_crash


def _mend_scripts(page: simcord.Preview) -> None:
    """Serves the page so that it stays at the newest message until the user scrolls up, with buttons below pictures.

    Without it, a message that grows with its picture while the page scrolls counts as scrolled away from.
    """
    server: Any = page
    server = server._server
    serve = server._static

    async def serve_mended(request: web.Request) -> web.Response:
        answer = await serve(request)
        if request.path in MENDED:
            answer.text = answer.text.replace(*MENDED[request.path])
        return answer

    server._static = serve_mended


async def _set_clock(env: simcord.Env) -> None:
    behind = datetime.now(UTC) - env.now()
    await env.advance_time(max(0.0, behind.total_seconds()))


def _has_screen() -> bool:
    """Whether a browser window can open; without a screen Python may start a text browser."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
