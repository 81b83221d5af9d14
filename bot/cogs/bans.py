"""/ban: members who may not paint in a server. Every answer is private."""

from __future__ import annotations

import time
from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.limits import nonce
from limner.bot.moderation.bans import sentence_of
from limner.bot.moderation.strikes import DAY
from limner.bot.storage.tables.moderation_tables import Ban
from limner.bot.translation import N_, _, speaking, stored
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import SILENT, forbid_own, moderated, tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list

Interaction = discord.Interaction[Any]

WHY_LENGTH = 200
BY_MODERATOR = N_("a moderator decided so")
BANNED = N_("<@{member}> may not paint here {until}.")
NOT_NOTIFIED = N_("Discord does not let me write to them; they read it when they try to paint.")
NONE = N_("Nobody is banned from painting here.")


class BansCog(LimnerCog, name="Limner bans"):
    """Bans from painting in a server."""

    group = app_commands.Group(
        name="ban",
        description="Keep members from painting in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    @app_commands.describe(
        member="Who may not paint", why="Why; the member reads it", days="For how many days; empty: until it is lifted"
    )
    async def add(
        self,
        interaction: Interaction,
        member: discord.User,
        why: app_commands.Range[str, 1, WHY_LENGTH] = BY_MODERATOR,
        days: app_commands.Range[int, 1, 3650] | None = None,
    ) -> None:
        """Ban a member from painting here."""
        guild_id = await moderated(interaction, self.app)
        forbid_own(interaction, member.id)
        until = time.time() + days * DAY if days else None
        ban = await self.app.bans.ban(guild_id, member.id, by=interaction.user.id, why=why, until=until)
        await interaction.response.defer(ephemeral=True, thinking=True)
        language = (await self.app.members.usual(member.id)).language
        is_notified = await _write_to(member, ban, language or str(interaction.guild_locale or interaction.locale))
        lines = [_(BANNED, member=member.id, until=_until(ban)), "" if is_notified else _(NOT_NOTIFIED)]
        await tell(interaction, "\n".join(filter(None, lines)))

    @group.command()
    @app_commands.describe(member="Who may paint again")
    async def remove(self, interaction: Interaction, member: discord.User) -> None:
        """Lift a member's ban."""
        guild_id = await moderated(interaction, self.app)
        forbid_own(interaction, member.id)
        await self.app.bans.lift(guild_id, member.id, interaction.user.id)
        await tell(interaction, _("<@{member}> may paint here again.", member=member.id))

    @group.command(name="list")
    async def list_bans(self, interaction: Interaction) -> None:
        """Show the members who are banned from painting here."""
        await show_list(interaction, self.app, "bans")


@listed("bans")
async def _banned(interaction: Interaction, app: App, _subject: int, number: int) -> Listing:
    guild_id = await moderated(interaction, app)
    total = await app.bans.count(guild_id)
    number, pages = page_of(total, number)
    bans = await app.bans.of_server(guild_id, skip=(number - 1) * PAGE, limit=PAGE)
    return Listing(_("Banned from painting: {total}", total=total), list(map(_line, bans)) or [_(NONE)], number, pages)


def _line(ban: Ban) -> str:
    return _(
        "<@{member}> · {why} · by <@{by}> · {until}",
        member=ban.user_id,
        why=job_messages.plain(stored(ban.why), 80),
        by=ban.given_by,
        until=_until(ban),
    )


def _until(ban: Ban) -> str:
    return _("until <t:{until}:f>", until=round(ban.until)) if ban.until else _("until it is lifted")


async def _write_to(member: discord.User, ban: Ban, locale: str) -> bool:
    """Write to the member, in that language; False if Discord does not let the bot."""
    with speaking(locale):
        text = sentence_of(ban)
    try:
        await member.send(text, nonce=nonce("ban", ban.id), allowed_mentions=SILENT)
    except discord.HTTPException:
        return False
    return True
