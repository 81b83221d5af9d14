"""Which servers the bot is in: what is stored about one that it has left is removed after a while."""

from __future__ import annotations

import logging

import discord
from discord.ext import commands

from limner.bot.app import App
from limner.bot.errors import UserError
from limner.bot.ui.cog import LimnerCog

log = logging.getLogger(__name__)


class ServersCog(LimnerCog, name="Limner servers"):
    """Listens to the bot joining and leaving servers."""

    def __init__(self, app: App, client: discord.Client) -> None:
        super().__init__(app)
        self._client = client

    async def cog_load(self) -> None:
        """A host bot may load Limner when it is online already."""
        if self._client.is_ready():
            await self.on_ready()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """The list of servers has come; without the intent for servers there is none."""
        if not self._client.intents.guilds:
            return
        try:
            await self.app.servers.compare({guild.id for guild in self._client.guilds}, self._is_seen)
        except UserError as error:  # the next connection or start compares again
            log.warning("servers_not_compared code=%s", error.code)

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was invited, perhaps again."""
        await self.app.servers.join(guild.id)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was removed, or the server is gone."""
        await self.app.servers.leave(guild.id)

    def _is_seen(self, guild_id: int) -> bool:
        """Whether this process hears of a server; the others may run on shards of their own."""
        count = self._client.shard_count or 1
        shards = getattr(self._client, "shard_ids", None) or [self._client.shard_id]
        return shards == [None] or (guild_id >> 22) % count in shards
