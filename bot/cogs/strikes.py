"""/strike: warnings of members by moderators. Every answer is private."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import UserError
from limner.bot.storage.tables.moderation_tables import Strike
from limner.bot.translation import N_, _, stored
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import forbid_own, moderated, tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list
from limner.bot.ui.review.review_cards import given_lines
from limner.bot.ui.suggestions import choices, few_at_once

Interaction = discord.Interaction[Any]

WHY_LENGTH = 200
BY_MODERATOR = N_("warned by a moderator")
NONE = N_("There are no strikes that count.")
SEARCHED = 500
"""Strikes that the autocomplete searches."""
NO_TIME_OUT = N_("Discord's time-out will not be possible: I lack the permission Moderate Members.")


class StrikesCog(LimnerCog, name="Limner strikes"):
    """Strikes, and the suspensions that follow."""

    group = app_commands.Group(
        name="strike",
        description="Tell members off; too many strikes suspend them from painting in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    @app_commands.describe(member="Who gets it", why="What for; the member reads it with /me")
    async def add(
        self,
        interaction: Interaction,
        member: discord.User,
        why: app_commands.Range[str, 1, WHY_LENGTH] = BY_MODERATOR,
    ) -> None:
        """Give a member a strike."""
        guild_id = await moderated(interaction, self.app)
        forbid_own(interaction, member.id)
        settings = await self.app.guilds.get(guild_id)
        given = await self.app.strikes.give(guild_id, member.id, by=interaction.user.id, why=why, settings=settings)
        lines = given_lines(given)
        if given.suspension and settings.times_out and not interaction.app_permissions.moderate_members:
            lines[-1] = _(NO_TIME_OUT)
        await tell(interaction, "\n".join(lines))

    @group.command()
    @app_commands.describe(strike="Its number")
    async def remove(self, interaction: Interaction, strike: app_commands.Range[int, 1]) -> None:
        """Take a strike back, and the suspension that it brought."""
        guild_id = await moderated(interaction, self.app)
        forbid_own(interaction, (await self.app.strikes.get(guild_id, strike)).user_id)
        removed = await self.app.strikes.remove(guild_id, strike, interaction.user.id)
        await tell(
            interaction,
            _(
                "Strike {strike} of <@{member}> ({why}) is taken back.",
                strike=removed.id,
                member=removed.user_id,
                why=job_messages.plain(stored(removed.why), 80),
            ),
        )

    @remove.autocomplete("strike")
    @few_at_once
    async def _find(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[int]]:
        try:
            active = await self.app.strikes.active(await moderated(interaction, self.app), limit=SEARCHED)
        except UserError:
            return []
        named = ((f"{strike.id}: {stored(strike.why)}", strike.id) for strike in active)
        return choices((name, number) for name, number in named if str(typed).casefold() in name.casefold())

    @group.command(name="list")
    @app_commands.describe(member="Whose; without it the newest ones of this server")
    async def list_strikes(self, interaction: Interaction, member: discord.User | None = None) -> None:
        """Show the strikes that count now."""
        await show_list(interaction, self.app, "strikes", member.id if member else 0)


@listed("strikes")
async def _active(interaction: Interaction, app: App, subject: int, number: int) -> Listing:
    """The current strikes of a member, or of the whole server (0)."""
    guild_id, user_id = await moderated(interaction, app), subject or None
    total = await app.strikes.count(guild_id, user_id)
    number, pages = page_of(total, number)
    active = await app.strikes.active(guild_id, user_id, skip=(number - 1) * PAGE, limit=PAGE)
    lines = [f"{_line(strike)} · <@{strike.user_id}>" for strike in active] or [_(NONE)]
    suspension = await app.strikes.suspension(guild_id, subject) if subject else None
    if suspension:
        lines.append(_("The member may not paint until <t:{end}:f>.", end=round(suspension.until)))
    return Listing(_("Strikes that count: {total}", total=total), lines, number, pages)


def _line(strike: Strike) -> str:
    return _(
        "**{strike}** · {why} · {by} · expires <t:{end}:R>",
        strike=strike.id,
        why=job_messages.plain(stored(strike.why), 80),
        by=_("by <@{member}>", member=strike.given_by) if strike.given_by else _("by the bot"),
        end=round(strike.expires_at),
    )
