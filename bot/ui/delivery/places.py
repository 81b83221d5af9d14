"""Channel, thread and permission events: refused answers in changed places are retried at once."""

from __future__ import annotations

import discord
from discord.ext import commands

from limner.bot.ui.cog import LimnerCog

Channel = discord.abc.GuildChannel


class Places(LimnerCog, name="Limner places"):
    """Listens for events that may let the bot write where it could not."""

    @commands.Cog.listener()
    async def on_raw_thread_update(self, payload: discord.RawThreadUpdateEvent) -> None:
        """A thread was opened or unlocked; an archived one is in no cache."""
        self._hear(payload.guild_id)

    @commands.Cog.listener()
    async def on_guild_channel_update(self, _: Channel, after: Channel) -> None:
        """A channel's permissions changed."""
        self._hear(after.guild.id)

    @commands.Cog.listener()
    async def on_guild_role_update(self, _: discord.Role, after: discord.Role) -> None:
        """A role's permissions changed."""
        self._hear(after.guild.id)

    @commands.Cog.listener()
    async def on_member_update(self, _: discord.Member, after: discord.Member) -> None:
        """The bot's own roles changed; Discord sends that without any intent."""
        if after == after.guild.me:
            self._hear(after.guild.id)

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was invited again."""
        self._hear(guild.id)

    def _hear(self, guild_id: int) -> None:
        self.app.outbox.hear(guild_id)
        self.app.jobs.changed.hear()
