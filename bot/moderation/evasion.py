"""Evasion: a request that says again, spelled another way, what the filter has just refused waits for a moderator."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.filters.respelled import is_respelled
from limner.bot.guild_settings import GuildSettings
from limner.bot.queue.enqueue import NewJob
from limner.bot.storage.models import Job

if TYPE_CHECKING:
    from limner.bot.app import App

log = logging.getLogger(__name__)

EVASION = "evasion"
"""The quarantine of such a request."""
STRIKE = "A refused idea, spelled another way"


async def keep_back_respelled(app: App, new: NewJob) -> NewJob:
    """The request, to be kept back from posting if it is a refused one in disguise and moderators look for that.

    Where the server wants it, its member gets a strike at once.
    """
    if new.guild_id is None:
        return new
    settings = await app.guilds.get(new.guild_id)
    if settings.evasion == "off" or settings.review_channel_id is None:
        return new
    if not await _is_evasion(app, new, settings):
        return new
    log.info("evasion_noticed guild=%s user=%s", new.guild_id, new.user_id)
    if settings.evasion == "strike":
        await app.strikes.give(new.guild_id, new.user_id, by=0, why=STRIKE, settings=settings)
        await app.strikes.refuse_suspended(new.guild_id, new.user_id)
    return replace(new, quarantine=EVASION)


async def _is_evasion(app: App, new: NewJob, settings: GuildSettings) -> bool:
    refused = await app.jobs.refused_since(new.user_id, new.guild_id or 0, settings.evasion_minutes * 60.0)
    return any([is_respelled(new.idea, job.idea, await _forbidden(app, job)) for job in refused])


async def _forbidden(app: App, job: Job) -> list[str]:
    """The parts of a refused idea that rules find in it now."""
    return [job.idea[match.start : match.end] for match in await app.filters.matches(job.where, job.idea)]
