"""Carries out what members ask to be erased, and sends them a receipt."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import discord

from limner.bot.app import App
from limner.bot.background import to_its_end
from limner.bot.limits import nonce
from limner.bot.storage.erasures import Left
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.privacy_tables import Erasure
from limner.bot.translation import N_, _, ngettext, speaking
from limner.bot.ui.delivery.posting import is_lasting
from limner.bot.ui.interactions import SILENT
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

LEFTOVERS_SECONDS = 3600.0
"""Interval at which what moderators needed is looked at again."""
RETRY_SECONDS = 30.0
"""Pause after an error of Discord's or the database's."""

RECEIPT = N_("Receipt {number}: {requests} and {pictures} are erased, with their words, previews and index entries.")
EVERYTHING = N_("So is everything else that was kept of you: settings, marks and the rows themselves.")
KEPT_MESSAGES = N_("{messages} stay in channels where I may not delete; take them away by hand.")
REQUESTS_LEFT = N_(
    "{requests} stay until moderators have decided about them, or for a day where a server's filter refused them; then "
    "they go too."
)
BANS_LEFT = N_("Bans from painting stay until they end; then they go too.")
STRIKES_LEFT = N_("{strikes} stay until they expire, at the latest <t:{until}:f>; then they go too.")


class Eraser:
    """Erases requests in parts, their posted messages first; a restart goes on where it stopped."""

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        self._pause = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        await self._client.wait_until_ready()
        while True:
            await to_its_end(self._step())
            await self._app.erasures.wait(self._pause)

    async def _step(self) -> None:
        """Carry out a part of the oldest erasure; without one, erase what moderators no longer need."""
        try:
            erasures = await self._app.erasures.to_do()
            for erasure in erasures[:1]:
                jobs = await self._app.erasures.next_requests(erasure)
                await (self._erase(erasure, jobs) if jobs else self._finish(erasure))
            if not erasures:
                await self._look_at_leftovers()
            self._pause = 0.0 if erasures else LEFTOVERS_SECONDS
        except Exception as error:
            log.warning("erasure_waits reason=%s", error_site(error))
            self._pause = RETRY_SECONDS

    async def _look_at_leftovers(self) -> None:
        for erasure in await self._app.erasures.with_leftovers():
            await self._app.erasures.finish(erasure)

    async def _erase(self, erasure: Erasure, jobs: Sequence[Job]) -> None:
        taken = [await self._take_away(job) for job in jobs] if erasure.takes_messages else []
        messages, kept = taken.count(True), taken.count(False)
        await self._app.erasures.erase(erasure, jobs, messages=messages, kept_messages=kept)
        self._app.jobs.queued.ring()

    async def _take_away(self, job: Job) -> bool | None:
        """Delete a request's message; None if there is none, False if Discord does not let the bot."""
        if not job.channel_id or not job.message_id or job.is_private:
            return None
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        try:
            await channel.get_partial_message(job.message_id).delete()
        except discord.NotFound:
            return None
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            return False
        return True

    async def _finish(self, erasure: Erasure) -> None:
        left = await self._app.erasures.finish(erasure)
        with speaking(erasure.locale):
            text = receipt(erasure, left)
        try:
            channel = await self._client.create_dm(discord.Object(erasure.user_id))
            await channel.send(text, nonce=nonce("receipt", erasure.id), allowed_mentions=SILENT)
        except discord.HTTPException as error:
            log.info("receipt_not_sent erasure=%s code=%s", erasure.id, error.code)


def receipt(erasure: Erasure, left: Left) -> str:
    """What was erased, and what stays, why and until when."""
    lines = [_(RECEIPT, number=erasure.id, requests=requests(erasure.requests), pictures=pictures(erasure.pictures))]
    if erasure.is_all:
        lines.append(_(EVERYTHING))
    if erasure.messages:
        lines.append(ngettext("1 message is deleted.", "{number} messages are deleted.", erasure.messages))
    if erasure.kept_messages:
        lines.append(_(KEPT_MESSAGES, messages=ngettext("1 message", "{number} messages", erasure.kept_messages)))
    if left.requests:
        lines.append(_(REQUESTS_LEFT, requests=requests(left.requests)))
    if left.strikes:
        strikes = ngettext("1 strike", "{number} strikes", left.strikes)
        lines.append(_(STRIKES_LEFT, strikes=strikes, until=round(left.until)))
    if left.bans:
        lines.append(_(BANS_LEFT))
    return "\n".join(lines)


def requests(number: int) -> str:
    """So many requests."""
    return ngettext("1 request", "{number} requests", number)


def pictures(number: int) -> str:
    """So many pictures."""
    return ngettext("1 picture", "{number} pictures", number)
