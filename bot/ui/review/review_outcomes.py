"""Carries out decisions: the effect on a request, its pictures and its member."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime

import discord

from limner.bot.app import App
from limner.bot.errors import BadRule
from limner.bot.limits import nonce
from limner.bot.moderation.strikes import GivenStrike
from limner.bot.reasons import EndCode, HoldReason, ReviewState, TimeOut
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review, Suspension
from limner.bot.translation import N_, _, english, speaking
from limner.bot.ui.delivery.posting import is_lasting
from limner.bot.ui.interactions import SILENT

log = logging.getLogger(__name__)

REJECTED = N_("A moderator has looked at this request and decided that its pictures are not posted.")
STRUCK = N_(
    "A moderator has looked at this request and decided that its pictures are not posted. You were given a strike; /me "
    "shows your strikes and when they expire."
)
EXPIRED = N_("No moderator has looked at this request in time, so its pictures are not posted.")
APPEAL_REJECTED = N_("A moderator has looked at your appeal: the refusal of request {job} stands.")
APPEAL_STRUCK = N_(
    "A moderator has looked at your appeal: the refusal of request {job} stands. You were given a strike; /me shows "
    "your strikes and when they expire."
)
APPEAL_EXPIRED = N_("No moderator has looked at your appeal in time, so the refusal of request {job} stands.")
REVIEW_OF, APPEAL_OF = N_("Review {review} of request {job}"), N_("Appeal {review} of request {job}")
SENTENCES = {
    ReviewState.REJECTED: (REJECTED, APPEAL_REJECTED),
    ReviewState.STRUCK: (STRUCK, APPEAL_STRUCK),
    ReviewState.EXPIRED: (EXPIRED, APPEAL_EXPIRED),
}


async def carry_out(app: App, client: discord.Client, review: Review, job: Job) -> None:
    """Carry out a decision; repeating it after a crash changes nothing more."""
    match review.state:
        case ReviewState.APPROVED:
            await _approve(app, review, job)
        case ReviewState.IGNORED:
            await _exempt(app, review, job)
            await _approve(app, review, job)
        case ReviewState.STRUCK:
            given = await _strike(app, review)
            if given.suspension:
                await time_out(app, client, given.suspension)
            await _reject(app, client, review, job)
        case ReviewState.REJECTED | ReviewState.EXPIRED:
            await _reject(app, client, review, job)
        case _:
            pass  # withdrawn by an earlier version


async def time_out(app: App, client: discord.Client, suspension: Suspension) -> None:
    """Set or lift Discord's own time-out; it ends with the suspension."""
    if suspension.time_out not in (TimeOut.WANTED, TimeOut.SET):
        return
    is_lifted = suspension.lifted_at is not None
    until = None if is_lifted else datetime.fromtimestamp(suspension.until, UTC)
    try:
        guild = await client.fetch_guild(suspension.guild_id, with_counts=False)
        member = await guild.fetch_member(suspension.user_id)
        strike = await app.strikes.get(suspension.guild_id, suspension.strike_id)
        if is_lifted or await _outranks(guild, strike.given_by, member):
            await member.edit(timed_out_until=until)
            outcome = TimeOut.ENDED if is_lifted else TimeOut.SET
        else:
            outcome = TimeOut.REFUSED
    except discord.HTTPException as error:
        if not is_lasting(error):
            raise
        outcome = TimeOut.REFUSED
    await app.strikes.mark_time_out(suspension.id, outcome)


async def _outranks(guild: discord.Guild, moderator_id: int, member: discord.Member) -> bool:
    """Whether a moderator may time a member out by Discord's order of roles; 0, the bot itself, follows the setting.

    The bot is above both, and must not do for a moderator what Discord forbids them.
    """
    if moderator_id in (0, guild.owner_id):
        return True
    return (await guild.fetch_member(moderator_id)).top_role > member.top_role


async def _approve(app: App, review: Review, job: Job) -> None:
    if review.is_appeal:
        await app.jobs.reopen(job.id, job.rule_ids)
    else:
        await app.quarantine.approve(job.id)


async def _exempt(app: App, review: Review, job: Job) -> None:
    """Exempt the request's channel from the server's own rules that matched."""
    by, channels = review.decided_by or 0, [job.channel_id] if job.channel_id else []
    for rule in await app.filters.of(review.guild_id, job.pardoned_ids or job.rule_ids):
        with suppress(BadRule):  # an equal rule is exempt there already
            await app.filters.exempt(review.guild_id, rule.id, by, channels=channels)


async def _strike(app: App, review: Review) -> GivenStrike:
    settings = await app.guilds.get(review.guild_id)
    what = APPEAL_OF if review.is_appeal else REVIEW_OF
    why = english(_(what, review=review.id, job=review.job_id))
    by = review.decided_by or 0
    return await app.strikes.give(
        review.guild_id, review.user_id, by=by, why=why, settings=settings, review_id=review.id
    )


async def _reject(app: App, client: discord.Client, review: Review, job: Job) -> None:
    of_pictures, of_appeal = SENTENCES[ReviewState(review.state)]
    if review.is_appeal:
        with speaking(job.locale):
            text = _(of_appeal, job=review.job_id)
        await _write_to(client, review.user_id, text, nonce("appeal", review.id))
    else:
        await app.history.drop_pictures(review.job_id)  # first, because delivery posts a refused job with its files
        await app.quarantine.refuse(review.job_id, EndCode.REVIEW, of_pictures, {})
        if review.why == HoldReason.REPORTED:
            await app.outbox.post_again(review.job_id)
            app.jobs.changed.hear()


async def _write_to(client: discord.Client, user_id: int, text: str, once: str) -> None:
    """Send a member a direct message; a member who takes none finds the decision with /me."""
    try:
        channel = await client.create_dm(discord.Object(user_id))
        await channel.send(text, nonce=once, allowed_mentions=SILENT)
    except discord.HTTPException as error:
        if not is_lasting(error):
            raise
        log.info("member_not_notified code=%s", error.code)
