"""What a worker does for all jobs beside its own: deletes what is over its retention, and classifies leftovers."""

from __future__ import annotations

import asyncio
import logging

from limner.bot.app import App
from limner.bot.guild_settings import retentions
from limner.bot.storage.history.retention import Retention, trim_changes, trim_refusals, trim_requests
from limner.bot.storage.pictures.clips import frames_of
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.results import look_at

log = logging.getLogger(__name__)

HELD_SECONDS = 24 * 3600.0
"""How long an expansion waits for its owner's choice."""


async def tidy(app: App) -> None:
    """Delete files without a row, words of deleted requests, and requests whose owner did not choose in time."""
    await asyncio.to_thread(app.images.sweep)
    await app.history.sweep()
    await app.pending.expire()
    await app.jobs.expire_held(HELD_SECONDS)
    await app.history.erase_deleted()


async def trim(app: App) -> None:
    """Delete refused requests and rule changes that the settings do not allow, and what is left of servers."""
    settings, mb = app.settings, 2**20
    refused = Retention(settings.refused_days, settings.refused_member_mb * mb, settings.refused_server_mb * mb)
    changes = Retention(settings.changes_days, settings.changes_member_mb * mb, settings.changes_server_mb * mb)
    servers = await retentions(app.database)
    days = {guild_id: float(server.refused_days) for guild_id, server in servers.items() if server.refused_days}
    count = await trim_refusals(app.history, refused, days), await trim_changes(app.database, changes)
    for guild_id, server in servers.items():
        if server.keep_days and (deleted := await trim_requests(app.history, guild_id, server.keep_days)):
            log.info("requests_expired guild=%s requests=%s", guild_id, deleted)
    purged = await app.servers.purge(settings.left_server_days)
    if any(count):
        log.info("rows_trimmed refusals=%s changes=%s", *count)
    if purged:
        log.info("requests_purged requests=%s", purged)


async def classify_again(app: App, classifier: ClassifierThread) -> None:
    """Classify stored pictures that could not be classified before, of any worker."""
    while job := await app.quarantine.take():
        await app.history.drop_missing(job)
        files = [await asyncio.to_thread(app.images.open, image.sha256) for image in job.images]
        seen = await look_at(classifier, job.id, [list(frames_of(file)) for file in files])
        looks = {image.id: look for image, look in zip(job.images, seen, strict=True) if look}
        if len(looks) == len(files):
            await app.quarantine.looked(job.id, looks)
