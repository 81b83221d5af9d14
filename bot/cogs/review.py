"""/review: open reviews and the rules for strikes. Every answer is private."""

from __future__ import annotations

from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.guild_settings import GuildSettings, OnEvasion
from limner.bot.moderation.review_stats import ReviewStats, review_stats
from limner.bot.quantities import duration
from limner.bot.reasons import HoldReason
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import managers_only, moderated, tell
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list
from limner.bot.ui.nearest_blocked import blocked_by
from limner.bot.ui.review.review_cards import REASONS

Interaction = discord.Interaction[Any]

CARDS = N_(
    "Review cards are posted in <#{channel}>; a request that nobody decides about within {time} counts as rejected."
)
SPOILERS = N_("Their pictures are hidden behind a click, as spoilers.")
BLURRED = N_("Their pictures are blurred; **Show the pictures** shows them to the moderator who presses it.")
BRINGS_STRIKE = N_("A refused idea in another spelling within {time} brings a strike.")
BRINGS_LOOK = N_("A refused idea in another spelling within {time} goes to a moderator.")
DECIDED = N_("Approved: {approved} · rejected: {rejected} · not decided in time: {expired}")
TIMES = N_("From the card to the decision: {usual} (half of them), {longest} at most.")
OVERTURNED = N_("Appeals that were right: {overturned} of {appeals} ({share} %).")
FLOOR_HITS = N_("Requests that were refused everywhere (the floor): {number}")
NOT_KNOWN = N_("for which picture is not known: it was refused before Limner kept that")
NONE_REFUSED = N_("No request that is still kept was refused for a blocked picture.")
NOTHING = N_("Nothing waits for a moderator.")
OFF = N_(
    "No review channel is chosen (/filter settings): flags are refusals, there are no appeals, and no idea is compared "
    "with refused ones."
)


class ReviewCog(LimnerCog, name="Limner review"):
    """Reviews and the policy for strikes."""

    group = app_commands.Group(
        name="review",
        description="Requests that moderators decide about",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command(name="list")
    async def list_open(self, interaction: Interaction) -> None:
        """Show what waits for a moderator, with links to the cards."""
        await show_list(interaction, self.app, "reviews")

    @group.command()
    async def refused(self, interaction: Interaction) -> None:
        """Show which requests were refused for a blocked picture, and which one that is."""
        await show_list(interaction, self.app, "refused")

    @group.command()
    @app_commands.describe(days="Of how many days (30)")
    async def stats(self, interaction: Interaction, days: app_commands.Range[int, 1, 365] = 30) -> None:
        """Show how many requests were decided, how long that took, and how many appeals were right."""
        guild_id = await moderated(interaction, self.app)
        found = await review_stats(self.app.database, guild_id, days)
        await tell(interaction, "\n".join(_stats(found, days)))

    @group.command()
    @app_commands.describe(
        blur="Blur the pictures on review cards; a button shows them to the moderator who presses it",
        days="After how many days an undecided request counts as rejected",
        strike_days="After how many days a strike expires",
        strike_limit="How many strikes suspend a member from painting; 0: none ever do",
        suspension_hours="How long the first suspension takes; each further one takes twice as long",
        time_out="Time suspended members out on Discord too",
        evasion="What follows when a refused idea is spelled another way: nothing, a card, or a card and a strike",
        evasion_minutes="For how long after a refusal that is looked for",
    )
    async def settings(
        self,
        interaction: Interaction,
        blur: bool | None = None,
        days: app_commands.Range[int, 1, 365] | None = None,
        strike_days: app_commands.Range[int, 1, 3650] | None = None,
        strike_limit: app_commands.Range[int, 0, 100] | None = None,
        suspension_hours: app_commands.Range[int, 1, 672] | None = None,
        time_out: bool | None = None,
        evasion: Literal["off", "flag", "strike"] | None = None,
        evasion_minutes: app_commands.Range[int, 1, 1440] | None = None,
    ) -> None:
        """Show or change cards, how long they wait, and what strikes do; /filter settings has the channel."""
        guild_id = await moderated(interaction, self.app)
        given = {
            "blurs_cards": blur,
            "review_days": days,
            "strike_days": strike_days,
            "strike_limit": strike_limit,
            "suspension_hours": suspension_hours,
            "times_out": time_out,
            "evasion": evasion,
            "evasion_minutes": evasion_minutes,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        settings = await self.app.guilds.get(guild_id)
        if changes:
            managers_only(interaction)
            settings = await self.app.guilds.change(guild_id, interaction.user.id, **changes)
        await tell(interaction, "\n".join(_lines(settings)))


def _stats(found: ReviewStats, days: int) -> list[str]:
    numbers = {"approved": found.approved, "rejected": found.rejected, "expired": found.expired}
    lines = [ngettext("**The last day**", "**The last {number} days**", days), _(DECIDED, **numbers)]
    if found.median_time is not None and found.longest_time is not None:
        minutes = [max(1, round(one / 60)) for one in (found.median_time, found.longest_time)]
        usual, longest = (duration(number, "minute") for number in minutes)
        lines.append(_(TIMES, usual=usual, longest=longest))
    if found.appeals:
        share = round(100 * found.overturned / found.appeals)
        lines.append(_(OVERTURNED, overturned=found.overturned, appeals=found.appeals, share=share))
    return [*lines, _(FLOOR_HITS, number=found.floor)]


@listed("reviews")
async def _waiting(interaction: Interaction, app: App, subject: int, number: int) -> Listing:
    guild_id = await moderated(interaction, app)
    waiting = [review for review in await app.reviews.waiting() if review.guild_id == guild_id]
    number, pages = page_of(len(waiting), number)
    shown = waiting[(number - 1) * PAGE : number * PAGE]
    return Listing(
        _("Waiting for a moderator: {number}", number=len(waiting)),
        [_line(one) for one in shown] or [_(NOTHING)],
        number,
        pages,
    )


@listed("refused")
async def _refused(interaction: Interaction, app: App, subject: int, number: int) -> Listing:
    guild_id = await moderated(interaction, app)
    jobs = await app.refusals.for_blocked_pictures(guild_id)
    number, pages = page_of(len(jobs), number)
    lines: list[str] = []
    for job in jobs[(number - 1) * PAGE : number * PAGE]:
        why = await blocked_by(app, job) or _(NOT_KNOWN)
        lines.append(f"**{job.id}** · <@{job.user_id}> · <t:{job.created_at:.0f}:R> · {why}")
    return Listing(_("Refused for a blocked picture"), lines or [_(NONE_REFUSED)], number, pages)


def _line(review: Review) -> str:
    what = _("an appeal") if review.is_appeal else _(REASONS[HoldReason(review.why)])
    card = _("its card is not posted yet")
    if review.message_id:
        card = f"https://discord.com/channels/{review.guild_id}/{review.channel_id}/{review.message_id}"
    return f"**{review.id}** · <@{review.user_id}> · {what} · <t:{review.created_at:.0f}:R> · {card}"


def policy(settings: GuildSettings) -> list[str]:
    """The server's policy for strikes and refused ideas, in sentences for everybody."""
    lines = [ngettext("A strike expires after 1 day.", "A strike expires after {number} days.", settings.strike_days)]
    if settings.strike_limit:
        lines.append(_suspends(settings))
    else:
        lines.append(_("Strikes suspend nobody."))
    if settings.evasion != OnEvasion.OFF and settings.review_channel_id:
        brings = BRINGS_STRIKE if settings.evasion == OnEvasion.STRIKE else BRINGS_LOOK
        lines.append(_(brings, time=duration(settings.evasion_minutes, "minute")))
    return lines


def _suspends(settings: GuildSettings) -> str:
    time = duration(settings.suspension_hours, "hour")
    if settings.times_out:
        return ngettext(
            "A member with a strike may not paint for {time} and is timed out on Discord, and twice as long each "
            "further time.",
            "A member with {number} strikes may not paint for {time} and is timed out on Discord, and twice as long "
            "each further time.",
            settings.strike_limit,
            time=time,
        )
    return ngettext(
        "A member with a strike may not paint for {time}, and twice as long each further time.",
        "A member with {number} strikes may not paint for {time}, and twice as long each further time.",
        settings.strike_limit,
        time=time,
    )


def _lines(settings: GuildSettings) -> list[str]:
    channel, time = settings.review_channel_id, duration(settings.review_days, "day")
    cards = _(CARDS, channel=channel, time=time) if channel else _(OFF)
    return [cards, _(BLURRED if settings.blurs_cards else SPOILERS), *policy(settings)]
