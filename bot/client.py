"""The stand-alone bot, which loads Limner like any other bot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging

import aiohttp
import discord
from discord.ext import commands

from limner.bot.background import cancel_on_signals
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.storage.tables.worker_tables import SyncedCommands
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import SILENT, app_of
from limner.bot.worker.launch import Launched

log = logging.getLogger(__name__)

UNCONFIGURED = N_(
    "There is no Discord token. Make an application at https://discord.com/developers/applications, press Reset Token "
    'under Bot, and give the token in the environment variable LIMNER_TOKEN or as token = "..." in limner.toml in the '
    "data folder. `limner doctor` prints these steps with the invite link; `limner demo` needs no token."
)
NOT_ACCEPTED = N_(
    "Discord does not accept the token; press Reset Token under Bot at https://discord.com/developers/applications "
    "and give the new one in LIMNER_TOKEN."
)
UNREACHABLE = N_("Discord cannot be reached; check the network connection and start again.")


class LimnerBot(commands.Bot):
    """A bot with Limner only: no privileged intent, no text commands, no message cache."""

    def __init__(
        self, settings: Settings, intents: discord.Intents | None = None, *, early: list[Launched] | None = None
    ) -> None:
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # voice is not used
        super().__init__(
            commands.when_mentioned,
            intents=intents or discord.Intents(guilds=True),
            help_command=None,
            allowed_mentions=SILENT,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
        )
        self.limner_settings = settings
        self.limner_early = early

    async def setup_hook(self) -> None:
        """Load the extension before any command can arrive."""
        await self.load_extension("limner")
        await sync_commands(self)


async def run_bot(settings: Settings, early: list[Launched] | None = None) -> None:
    """Run on Discord until SIGINT or SIGTERM; ``early`` is a worker that runs already.

    Raises:
        SetupError: the token, the network or the database is not usable; its text says what to do.
    """
    if not settings.token:
        raise SetupError(_(UNCONFIGURED))
    async with LimnerBot(settings, early=early) as bot:
        online = asyncio.create_task(bot.start(settings.token))
        cancel_on_signals(online)
        try:
            await online
        except asyncio.CancelledError:
            log.info("bot_stopped")
        except discord.LoginFailure as error:
            raise SetupError(_(NOT_ACCEPTED)) from error
        except commands.ExtensionFailed as error:
            raise error.original from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise SetupError(_(UNREACHABLE)) from error


async def sync_commands(bot: commands.Bot) -> bool:
    """Register the commands with Discord if they changed since the last sync; returns whether it did.

    Discord limits how often commands may be written.
    """
    tree, translator = bot.tree, bot.tree.translator
    payload = [
        await command.get_translated_payload(tree, translator) if translator else command.to_dict(tree)
        for command in tree.get_commands()
    ]
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    application = bot.application_id or 0
    database = app_of(bot).database
    async with database.read() as session:
        known = await session.get(SyncedCommands, application)
    if known and known.digest == digest:
        return False
    await bot.http.bulk_upsert_global_commands(application, payload)  # `tree.sync` would translate all again
    async with database.begin() as session:
        await session.merge(SyncedCommands(application_id=application, digest=digest))
    log.info("commands_synced count=%s", len(payload))
    return True
