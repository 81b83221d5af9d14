"""Posts the floor's hits in the channel that the operator chose."""

from __future__ import annotations

import asyncio
import logging
import time

import discord

from limner.bot.app import App
from limner.bot.background import to_its_end
from limner.bot.filters.floor import FloorSubject
from limner.bot.limits import CONTENT, fit, nonce
from limner.bot.moderation.floor_hits import SUBJECTS, DueHits
from limner.bot.storage.tables.models import Job
from limner.bot.translation import ENGLISH, N_, _, ngettext
from limner.bot.ui.interactions import SILENT, speaking_to_server
from limner.bot.ui.job.job_messages import plain
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

POLL_SECONDS = 15.0
RETRY_SECONDS = 300.0
"""Pause after the channel refused a message, or is gone."""
SERVER_NAME = 40
ABOUT = {
    FloorSubject.MINORS: N_("sexual content with minors"),
    FloorSubject.PERSONS: N_("sexual content with a real person"),
}


class FloorPoster:
    """Posts one message at a time, which lists the next hits; a restart, and a second bot, go on from there."""

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        self._channel_id = app.settings.floor_channel
        self._not_before = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        await self._client.wait_until_ready()
        while True:
            await to_its_end(self.look(time.time()))
            await asyncio.sleep(POLL_SECONDS)

    async def look(self, now: float) -> None:
        """Post what is due at this time (Unix seconds)."""
        if now < self._not_before:
            return
        try:
            due = await self._app.floor_hits.due(self._channel_id, now)
            if due:
                await self._post(due)
                await self._app.floor_hits.posted(self._channel_id, due.until)
        except discord.HTTPException as error:
            log.error("floor_channel_failed code=%s", error.code)
            self._not_before = now + RETRY_SECONDS
        except Exception as error:
            log.error("floor_channel_failed reason=%s", error_site(error))

    async def _post(self, due: DueHits) -> None:
        channel = self._client.get_channel(self._channel_id)
        guild = channel.guild if isinstance(channel, discord.TextChannel | discord.Thread) else None
        with await speaking_to_server(self._app, guild, ENGLISH):
            said = self._said(due)
        once = nonce("floor", self._channel_id, due.since)
        await self._client.get_partial_messageable(self._channel_id).send(said, nonce=once, allowed_mentions=SILENT)

    def _said(self, due: DueHits) -> str:
        title = ngettext("**The floor refused 1 request.**", "**The floor refused {number} requests.**", due.number)
        lines = [title, *map(self._line, due.jobs)]
        if more := due.number - len(due.jobs):
            lines.append(_("… and {number} more", number=more))
        return fit(lines, CONTENT)

    def _line(self, job: Job) -> str:
        return _(
            "<t:{time}:f> · {about} · {who} · request {job}",
            time=round(job.created_at),
            about=_(ABOUT[SUBJECTS[job.reason_code or ""]]),
            who=self._who(job),
            job=job.id,
        )

    def _who(self, job: Job) -> str:
        if job.guild_id is None:
            return _("<@{member}> in direct messages", member=job.user_id) if job.user_id else _("the command line")
        guild = self._client.get_guild(job.guild_id)
        server = plain(guild.name, SERVER_NAME) if guild else str(job.guild_id)
        return _("<@{member}> in {server}, <#{channel}>", member=job.user_id, server=server, channel=job.channel_id)
