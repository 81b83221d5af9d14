"""Posts a card for each review, carries out decisions, and sets Discord's time-outs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress

import discord

from limner.bot.app import App
from limner.bot.background import Lanes, to_its_end
from limner.bot.errors import Decided
from limner.bot.limits import FIELD, first_lines, nonce
from limner.bot.moderation.reviews import APPROVALS, LONGEST_PAUSE
from limner.bot.moderation.strikes import DAY
from limner.bot.reasons import POLICIES_FOUND, STALE, HoldReason, ReviewState
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review, Suspension
from limner.bot.translation import ENGLISH, N_, _
from limner.bot.ui.delivery.posting import find_own, is_lasting
from limner.bot.ui.interactions import SILENT, speaking_to_server
from limner.bot.ui.nearest_blocked import hashes_of, nearest_blocked
from limner.bot.ui.review.review_cards import card_buttons, card_embed, card_files, is_card_of
from limner.bot.ui.review.review_outcomes import carry_out, time_out
from limner.bot.ui.rule_texts import how, line, policy_found
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Longest wait of a review from another process for its card."""
SERVERS_AT_ONCE = 8
CARD_SECONDS = 60.0
"""Time limit of one card, with all of discord.py's own retries."""
RETRY_SECONDS = 10.0
"""Pause after a card that Discord refused for now."""
LAST_WORDS_SECONDS = 3.0

NOT_CHOSEN = N_(
    "Requests wait for a moderator, but no channel is chosen for their review cards; choose one with /filter settings."
)
NOT_POSSIBLE = N_(
    "Requests wait for a moderator, but I cannot post their review cards in <#{channel}>. Choose another channel with "
    "/filter settings, or give me these permissions there: View Channel, Send Messages, Embed Links, Attach Files and "
    "Read Message History."
)


class ReviewPoster:
    """Keeps every review's card in line with its row; needs the client's REST side and servers.

    A decision is carried out before the card shows it, and each step is idempotent, so a crash loses nothing. A card
    whose posting was interrupted is found by its buttons before another one is posted.
    """

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        self._lanes = Lanes(SERVERS_AT_ONCE)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._client.wait_until_ready()
        try:
            while True:
                await to_its_end(self._look())
                await self._app.reviews.changed.wait(POLL_SECONDS)
        finally:
            await self._lanes.close(LAST_WORDS_SECONDS)

    async def _look(self) -> None:
        try:
            await self._app.reviews.open_due()
            for review in await self._app.reviews.waiting():
                with suppress(Decided):  # a moderator was faster
                    await self._look_after(review)
            while [review for review in await self._app.reviews.to_show(self._lanes.busy) if self._begin(review)]:
                pass  # the next reviews of servers that were free, until there are none
            for suspension in await self._app.strikes.time_outs():
                self._begin_time_out(suspension)
        except Exception as error:
            log.error("desk_failed reason=%s", error_site(error))

    async def _look_after(self, review: Review) -> None:
        """Handle an open review that expired or whose card is out of reach."""
        settings = await self._app.guilds.get(review.guild_id)
        if review.created_at < time.time() - settings.review_days * DAY:
            # Otherwise a report would take a picture away that nobody looked at.
            is_reported = review.why == HoldReason.REPORTED
            end = ReviewState.APPROVED if is_reported else ReviewState.EXPIRED
            await self._app.reviews.decide(review.id, end, None)
        elif review.shown and self._is_out_of_reach(review, settings.review_channel_id):
            await self._app.reviews.lose_card(review.id)

    def _is_out_of_reach(self, review: Review, chosen_id: int | None) -> bool:
        guild = self._client.get_guild(review.guild_id)
        is_gone = guild is not None and guild.get_channel_or_thread(review.channel_id or 0) is None
        return is_gone or chosen_id not in (None, review.channel_id)

    def _begin(self, review: Review) -> bool:
        return self._lanes.begin(review.guild_id, f"limner-card-{review.id}", lambda: self._work(review))

    def _begin_time_out(self, suspension: Suspension) -> None:
        async def work() -> None:
            try:
                await time_out(self._app, self._client, suspension)
            except Exception as error:
                log.warning("time_out_failed suspension=%s error=%s", suspension.id, error_site(error))

        self._lanes.begin(suspension.guild_id, f"limner-time-out-{suspension.id}", work)

    async def _work(self, review: Review) -> None:
        """Update one card; any error is retried later."""
        pause, warned_of = RETRY_SECONDS, None
        try:
            async with asyncio.timeout(CARD_SECONDS):
                with await self._speaking(review.guild_id):
                    await (self._post(review) if review.state == ReviewState.OPEN else self._close(review))
            return self._app.reviews.changed.hear()  # the server's next card
        except _Closed as closed:
            pause, warned_of = LONGEST_PAUSE, closed.channel_id
            await self._tell_server(review.guild_id, closed.channel_id)
        except Exception as error:
            log.warning("card_postponed review=%s error=%s", review.id, error_site(error))
        await self._app.reviews.postpone(review.id, pause, warned_of)

    async def _speaking(self, guild_id: int) -> AbstractContextManager[None]:
        """Write in the language of a server, which its moderators share."""
        return await speaking_to_server(self._app, self._client.get_guild(guild_id), ENGLISH)

    # An open review.

    async def _post(self, review: Review) -> None:
        job = await self._app.reviews.job_of(review)
        channel_id = (await self._app.guilds.get(review.guild_id)).review_channel_id
        if channel_id is None:
            raise _Closed(0)
        try:
            message_id = await self._find(review) if review.channel_id == channel_id else None
            await self._app.reviews.begin_card(review.id, channel_id)
            message_id = message_id or await self._send(review, job, channel_id)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            raise _Closed(channel_id) from error
        await self._app.reviews.mark_shown(review.id, ReviewState.OPEN, message_id)

    async def _send(self, review: Review, job: Job, channel_id: int) -> int:
        is_blurred = (await self._app.guilds.get(review.guild_id)).blurs_cards
        files = await card_files(self._app, job, is_blurred=is_blurred)
        channel = self._client.get_partial_messageable(channel_id, guild_id=review.guild_id)
        card = await channel.send(
            embed=await self._embed(review, job),
            view=card_buttons(
                review, has_rule=bool(await self._own_rules(review, job)), is_blurred=is_blurred and bool(files)
            ),
            files=files,
            nonce=nonce("review", review.id, channel_id),
            allowed_mentions=SILENT,
        )
        return card.id

    async def _find(self, review: Review) -> int | None:
        """Search for a card whose id was lost in a crash."""
        channel = self._client.get_partial_messageable(review.channel_id or 0, guild_id=review.guild_id)
        tried_at = review.tried_at or 0.0
        found = await find_own(self._client, channel, tried_at, lambda message: is_card_of(message, review.id))
        if found:
            log.info("card_adopted review=%s", review.id)
        return found

    async def _tell_server(self, guild_id: int, channel_id: int) -> None:
        """Notify the server once, in its system channel, why cards wait."""
        if await self._app.reviews.was_warned_of(guild_id, channel_id):
            return
        log.warning("review_channel_closed guild=%s channel=%s", guild_id, channel_id)
        guild = self._client.get_guild(guild_id)
        if guild and guild.system_channel:
            with await self._speaking(guild_id):
                text = _(NOT_POSSIBLE, channel=channel_id) if channel_id else _(NOT_CHOSEN)
            try:
                await guild.system_channel.send(text, allowed_mentions=SILENT)
            except discord.HTTPException as error:
                log.info("server_not_notified guild=%s code=%s", guild_id, error.code)

    # A decided one.

    async def _close(self, review: Review) -> None:
        """Carry a decision out; then the card shows it without buttons and without rejected pictures.

        The card of a deleted request shows nothing of it.
        """
        message_id, job = review.message_id, await self._app.reviews.job_of(review)
        if review.shown != STALE:
            await carry_out(self._app, self._client, review, job)
        if job.deleted_at is not None:
            await self._app.history.erase([job.id])
        try:
            if message_id is None and review.channel_id is not None:
                message_id = await self._find(review)
            if message_id is not None:
                await self._edit(review, job if job.deleted_at is None else None, message_id)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
        await self._app.reviews.mark_shown(review.id, review.state, message_id)
        if job.deleted_at is None:
            await self._app.reviews.refresh_deleted(review.id)
        else:
            await self._app.history.erase([job.id])

    async def _edit(self, review: Review, job: Job | None, message_id: int) -> None:
        channel = self._client.get_partial_messageable(review.channel_id or 0, guild_id=review.guild_id)
        keeps_files = job is not None and review.state in APPROVALS
        attachments: list[discord.Attachment] = discord.utils.MISSING if keeps_files else []
        message = channel.get_partial_message(message_id)
        embed = await self._embed(review, job)
        await message.edit(embed=embed, view=None, attachments=attachments, allowed_mentions=SILENT)

    # What a card shows.

    async def _embed(self, review: Review, job: Job | None) -> discord.Embed:
        guild_id, user_id = review.guild_id, review.user_id
        return card_embed(
            review,
            job,
            rules=await self._rules(review, job) if job else "",
            nearest=await nearest_blocked(self._app, guild_id, hashes_of(job)) if job else "",
            record=await self._app.reviews.record(guild_id, user_id),
            strikes=await self._app.strikes.count(guild_id, user_id),
            given=await self._app.strikes.of_review(review.id),
        )

    async def _rules(self, review: Review, job: Job) -> str:
        """The matched rules: text and match for the server's own, the number for the operator's."""
        own = {rule.id: rule for rule in await self._own_rules(review, job)}
        found = {
            int(match.rule.id): how(text, match)
            for text in (job.prompt or "", job.idea)
            for match in reversed(await self._app.filters.matches(job.where, text))
        } | {one["rule"]: policy_found(one) for one in job.notes.get(POLICIES_FOUND, ())}
        shown = {
            number: f"{line(rule)} · {found[number]}" if number in found else line(rule) for number, rule in own.items()
        }
        lines = [shown.get(one, _("**{rule}** of this bot's operator", rule=one)) for one in job.rule_ids]
        return first_lines(lines, FIELD)[0]

    async def _own_rules(self, review: Review, job: Job) -> Sequence[RuleRow]:
        return await self._app.filters.of(review.guild_id, job.rule_ids)


class _Closed(Exception):
    """Cards cannot be posted in this channel (0: none is chosen) at present."""

    def __init__(self, channel_id: int) -> None:
        super().__init__(channel_id)
        self.channel_id = channel_id
