"""Evasion: holds requests that respell a recently refused idea for a moderator."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.errors import Refused
from limner.bot.filters.verdicts import too_costly
from limner.bot.filters.work import TooCostly
from limner.bot.guild_settings import GuildSettings, OnEvasion
from limner.bot.moderation.refusals import check_refusals, refused_lately
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import HoldReason

if TYPE_CHECKING:
    from limner.bot.app import App

log = logging.getLogger(__name__)

STRIKE = "A refused idea, spelled another way"


async def keep_back_respelled(app: App, new: NewJob) -> NewJob:
    """The request, held for a moderator if it respells a refused one and the server checks for that.

    If the server wants it, the member gets a strike at once. Raises Refused if the check takes too long, and QueueFull
    if the member has too many refusals to compare.
    """
    if new.where.guild_id is None:
        return new
    settings = await app.guilds.get(new.where.guild_id)
    if settings.evasion == OnEvasion.OFF or settings.review_channel_id is None:
        return new
    try:
        if not await _is_evasion(app, new, settings):
            return new
    except TooCostly as error:
        log.warning("evasion_check_gave_up guild=%s user=%s", new.where.guild_id, new.user_id)
        await check_refusals(app, new)
        refusal = too_costly("idea", error)
        job = await app.jobs.log_refusal(new, refusal.code, refusal.sentence)
        raise Refused(refusal.sentence, job) from error
    log.info("evasion_noticed guild=%s user=%s", new.where.guild_id, new.user_id)
    if settings.evasion == OnEvasion.STRIKE:
        await app.strikes.give(new.where.guild_id, new.user_id, by=0, why=STRIKE, settings=settings)
        await app.strikes.refuse_suspended(new.where.guild_id, new.user_id)
    return replace(new, quarantine=HoldReason.EVASION)


async def _is_evasion(app: App, new: NewJob, settings: GuildSettings) -> bool:
    refused = await refused_lately(app, new, settings.evasion_minutes * 60.0)
    return await app.filters.is_respelled(new.where, new.idea, [(one.where, one.idea) for one in refused])
