"""Evasion: holds requests that respell a recently refused idea for a moderator."""

from __future__ import annotations

import logging
from dataclasses import replace

from limner.bot.errors import Refused
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.filters.verdicts import too_costly
from limner.bot.filters.work import TooCostly
from limner.bot.guild_settings import Guilds, GuildSettings, OnEvasion
from limner.bot.moderation.refusals import Refusals
from limner.bot.moderation.strikes import Strikes
from limner.bot.queue.enqueue import NewJob
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import HoldReason
from limner.bot.translation import N_

log = logging.getLogger(__name__)

STRIKE = N_("A refused idea, spelled another way")


class Evasion:
    """Compares new requests with a member's recent refusals."""

    def __init__(
        self, guilds: Guilds, filters: ContentFilter, refusals: Refusals, jobs: JobQueue, strikes: Strikes
    ) -> None:
        self._guilds = guilds
        self._filters = filters
        self._refusals = refusals
        self._jobs = jobs
        self._strikes = strikes

    async def keep_back_respelled(self, new: NewJob) -> NewJob:
        """The request, held for a moderator if it respells a refused one and the server checks for that.

        If the server wants it, the member gets a strike at once. Raises Refused if the check takes too long, and
        QueueFull if the member has too many refusals to compare.
        """
        if new.where.guild_id is None:
            return new
        settings = await self._guilds.get(new.where.guild_id)
        if settings.evasion == OnEvasion.OFF or settings.review_channel_id is None:
            return new
        try:
            if not await self._is_evasion(new, settings):
                return new
        except TooCostly as error:
            log.warning("evasion_check_gave_up guild=%s", new.where.guild_id)
            await self._refusals.check(new)
            refusal = too_costly("idea", error)
            job = await self._jobs.log_refusal(new, refusal.code, refusal.sentence)
            raise Refused(refusal.sentence, job.id) from error
        log.info("evasion_noticed guild=%s", new.where.guild_id)
        if settings.evasion == OnEvasion.STRIKE:
            await self._strikes.give(new.where.guild_id, new.user_id, by=0, why=STRIKE, settings=settings)
            await self._strikes.refuse_suspended(new.where.guild_id, new.user_id)
        return replace(new, quarantine=HoldReason.EVASION)

    async def _is_evasion(self, new: NewJob, settings: GuildSettings) -> bool:
        refused = await self._refusals.lately(new, settings.evasion_minutes * 60.0)
        return await self._filters.is_respelled(new.where, new.idea, [(one.where, one.idea) for one in refused])
