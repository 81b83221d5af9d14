"""Limner inside somebody else's bot, and out of it again without a trace; and the stand-alone bot around it."""

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import discord
import psutil
import pytest
import simcord
from discord import app_commands
from discord.ext import commands

from limner.bot.client import LimnerBot, run_bot, sync_commands
from limner.bot.errors import SetupError
from limner.bot.plugin import AnyBot
from limner.bot.settings import Settings
from tests.simulated_discord import World, kept_modules


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    with kept_modules():
        yield


@pytest.fixture(params=[commands.Bot, pytest.param(commands.AutoShardedBot, marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest, settings: Settings) -> AsyncGenerator[AnyBot]:
    """Somebody else's bot, logged in, with a command of its own."""
    intents = discord.Intents.default()
    bot = (
        commands.AutoShardedBot(commands.when_mentioned, intents=intents, shard_count=2)
        if request.param is commands.AutoShardedBot
        else commands.Bot(commands.when_mentioned, intents=intents)
    )
    bot.tree.add_command(app_commands.Command(name="theirs", description="Theirs", callback=_theirs))
    vars(bot)["limner_settings"] = settings
    env = simcord.Env(bot)
    await env.start()
    try:
        yield bot
    finally:
        await env.shutdown()


@pytest.mark.timeout(120)
async def test_loads_and_unloads_without_a_trace(host: AnyBot, settings: Settings) -> None:
    before = await _everything(host)
    for processes in (0, 1):
        vars(host)["limner_settings"] = settings.using(workers=processes)
        await host.load_extension("limner")
        assert {command.name for command in host.tree.get_commands()} > {"theirs", "imagine", "queue", "cancel"}
        await _until(lambda: len(psutil.Process().children()) == processes)  # noqa: B023 (called here only)
        await host.unload_extension("limner")
        await _until_equal(before, host)


async def test_a_failing_setup_leaves_nothing(host: AnyBot) -> None:
    host.tree.add_command(app_commands.Command(name="imagine", description="Theirs too", callback=_theirs))
    before = await _everything(host)
    with pytest.raises(commands.ExtensionFailed):
        await host.load_extension("limner")
    await _until_equal(before, host)


async def test_an_old_database_is_refused_with_the_command_that_mends_it(host: AnyBot, settings: Settings) -> None:
    (settings.data / "limner.db").unlink()
    with pytest.raises(commands.ExtensionFailed) as failure:
        await host.load_extension("limner")
    assert isinstance(failure.value.original, SetupError)
    assert "`limner migrate`" in str(failure.value.original)


async def test_without_settings_of_the_host_the_environment_counts(
    host: AnyBot, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del vars(host)["limner_settings"]
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    await host.load_extension("limner")
    assert vars(host)["limner"].settings.url == settings.url
    await host.unload_extension("limner")


async def test_commands_are_synced_only_when_they_change(world: World) -> None:
    def syncs() -> int:
        return sum(request.method == "PUT" and "commands" in request.path for request in world.env.http_requests)

    assert syncs() == 1
    await world.restart()
    assert syncs() == 1
    world.bot.tree.add_command(app_commands.Command(name="new", description="New", callback=_theirs))
    assert await sync_commands(world.bot)
    assert not await sync_commands(world.bot)
    assert syncs() == 2


def test_the_bot_asks_for_no_privileged_intent(settings: Settings) -> None:
    intents = LimnerBot(settings).intents
    assert (intents.message_content, intents.members, intents.presences) == (False, False, False)


async def test_no_token_is_told_with_the_steps(settings: Settings) -> None:
    with pytest.raises(SetupError, match="developers/applications"):
        await run_bot(settings)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (discord.LoginFailure("401"), "does not accept the token"),
        (ConnectionRefusedError(), "cannot be reached"),
        (commands.ExtensionFailed("limner", SetupError("Run it.")), "Run it."),
    ],
)
async def test_a_start_that_fails_is_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    async def start(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(LimnerBot, "start", start)
    with pytest.raises(SetupError, match=told):
        await run_bot(settings.using(token="token"))


async def _theirs(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_message("theirs")


async def _everything(host: AnyBot) -> dict[str, Any]:
    """What an extension could leave behind."""
    await asyncio.sleep(0)
    process = psutil.Process()
    return {
        "tasks": {task.get_name() for task in asyncio.all_tasks()},
        "processes": {child.pid for child in process.children(recursive=True)},
        "commands": {command.name for command in host.tree.get_commands()},
        "cogs": set(host.cogs),
        "attributes": set(vars(host)),
        "threads": {thread.name for thread in threading.enumerate() if "connection_worker" in thread.name},
        "files": {file.path for file in process.open_files()},
        "descriptors": set(range(process.num_fds() if sys.platform != "win32" else 0)),
    }


async def _until_equal(before: dict[str, Any], host: AnyBot) -> None:
    """Nothing is left that was not there before; what the test run itself has closed meanwhile does not matter."""
    left: dict[str, Any] = {}
    for _ in range(200):
        now = await _everything(host)
        left = {name: now[name] - before[name] for name in now if now[name] - before[name]}
        if not left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(left)


async def _until(look: Any) -> None:
    for _ in range(500):
        if look():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError
