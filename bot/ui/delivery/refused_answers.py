"""What follows when Discord refuses an answer: a plain sentence in its place, a message to its owner, or waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

import discord

from limner.bot.app import App
from limner.bot.limits import nonce
from limner.bot.moderation.strikes import DAY
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _, speaking
from limner.bot.ui.delivery.posting import (
    FORBIDDEN,
    MISSING_PERMISSIONS,
    THREAD_ARCHIVED,
    UNKNOWN_CHANNEL,
    UNKNOWN_MESSAGE,
    Posting,
    is_lasting,
)
from limner.bot.ui.interactions import SILENT, lacking
from limner.bot.ui.job import job_messages


class HeldBack(Exception):
    """An answer that can be posted after a change in its server."""


class RefusedAnswers:
    """Says why an answer is not there, where that is possible."""

    def __init__(self, app: App, client: discord.Client, posting: Posting) -> None:
        self._app = app
        self._client = client
        self._posting = posting

    async def explain(self, job: Job, error: discord.HTTPException) -> int | None:
        """The answer is refused: say why, where possible; a deleted placeholder stays deleted.

        Raises:
            HeldBack: it can be posted once the thread is opened or a permission is given.
        """
        if error.code == UNKNOWN_MESSAGE:
            return job.message_id
        if error.code == UNKNOWN_CHANNEL:
            await self._tell_owner(job, lambda: _(job_messages.CHANNEL_GONE))
            return job.message_id
        if error.code not in (THREAD_ARCHIVED, *FORBIDDEN):
            return await self._give_up(job, error)
        if job.held_back_at is None:
            await self._say_what_is_missing(job, error)
        elif job.held_back_at < time.time() - job_messages.HELD_BACK_DAYS * DAY:
            return job.message_id
        raise HeldBack

    async def _give_up(self, job: Job, error: discord.HTTPException) -> int | None:
        """Discord refuses the content of the answer; post a plain sentence instead."""
        try:
            return await self._posting.put(job, _(job_messages.NOT_TAKEN, code=error.code))
        except discord.HTTPException as again:
            if not is_lasting(again):
                raise
            code = again.code
            await self._tell_owner(job, lambda: _(job_messages.NOT_TAKEN_AT_ALL, code=code))
        return job.message_id

    async def _say_what_is_missing(self, job: Job, error: discord.HTTPException) -> None:
        """Say it in the message where only files are refused; otherwise to the owner."""
        if error.code == MISSING_PERMISSIONS and job.images:
            try:
                text = job_messages.ended(job, self._app.styles, says_ai=self._app.settings.says_ai)
                await self._posting.put(job, f"{text}\n{job_messages.no_attaching()}")
                return
            except discord.HTTPException as again:
                if not is_lasting(again):
                    raise
        is_archived = error.code == THREAD_ARCHIVED
        await self._tell_owner(job, job_messages.thread_closed if is_archived else lambda: self._lacking(job))

    def _lacking(self, job: Job) -> str:
        """The missing permissions in a job's channel, as far as they are known."""
        guild, channel = self._client.get_guild(job.guild_id or 0), self._client.get_channel(job.channel_id or 0)
        if guild is None:
            return _(job_messages.NO_MEMBER)
        is_known = isinstance(channel, discord.Thread | discord.abc.GuildChannel)
        missing = lacking(channel.permissions_for(guild.me), channel) if is_known else []
        return job_messages.not_permitted(missing or [_("View Channels")])

    async def _tell_owner(self, job: Job, why: Callable[[], str]) -> None:
        """Send a job's owner a direct message in their language, if they accept one."""
        with speaking(job.locale):
            text = job_messages.elsewhere(job, why())
        try:
            owner = await self._client.create_dm(discord.Object(job.user_id))
            await owner.send(text, nonce=nonce("owner", job.id), allowed_mentions=SILENT)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
