"""Writes a request's message as the bot, or with the interaction token of its command."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import discord
from discord.webhook.async_ import async_context

from limner.bot.app import App
from limner.bot.limits import nonce
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.ui.delivery.result_message import result_message
from limner.bot.ui.interactions import SILENT
from limner.bot.ui.job.comparing import is_compared
from limner.bot.ui.job.job_buttons import buttons, is_of
from limner.bot.ui.job.restyle import restyle_items

log = logging.getLogger(__name__)

CLOCK_SKEW = 60.0
"""Most seconds by which our clock may be ahead of Discord's."""
SEARCHED_MESSAGES = 200

UNKNOWN_CHANNEL = 10003
UNKNOWN_MESSAGE = 10008
REQUEST_TOO_LARGE = 40005
MISSING_ACCESS = 50001
CANNOT_MESSAGE_USER = 50007
MISSING_PERMISSIONS = 50013
THREAD_ARCHIVED = 50083
INVALID_FORM = 50035
FORBIDDEN = (MISSING_ACCESS, CANNOT_MESSAGE_USER, MISSING_PERMISSIONS)
"""Discord's error codes for the bot where an interaction token may still write."""


class Posting:
    """One message for each job, created and edited; needs only the client's REST side."""

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        # discord.py finds what sends webhooks in the context, and a background task has an empty one of its own.
        self._webhooks = async_context.get()

    async def put(self, job: Job, text: str, files: Sequence[discord.File] = ()) -> int:
        """Write the job's message: edit the known or found one, or post a new one.

        Archived threads take no edits, with an interaction token either, so the thread is opened for an answer unless
        it is locked. Where the bot may not write, the interaction token may for 15 minutes.

        Raises:
            discord.HTTPException: Discord accepts neither.
        """
        if job.is_private:
            return await self._put_privately(job, text, files)
        if self._is_guest(job):
            if await self._put_with_token(job, text, files):
                return job.message_id or 0
            files = _unread(files)
        try:
            return await self._put_as_bot(job, text, files)
        except discord.HTTPException as error:
            again = _unread(files)
            if error.code == THREAD_ARCHIVED and job.is_final and await self._open_thread(job):
                return await self._put_as_bot(job, text, again)
            if error.code in FORBIDDEN and await self._put_with_token(job, text, again):
                return job.message_id or 0
            raise

    async def _put_privately(self, job: Job, text: str, files: Sequence[discord.File]) -> int:
        """Edit the answer that the member alone sees; once its token has expired, an ended job comes by direct message.

        Raises:
            discord.HTTPException: Discord accepts neither; nothing is ever posted in the channel.
        """
        if await self._put_with_token(job, text, files) or not job.is_final:
            return job.message_id or 0
        again = _unread(files)
        owner = await self._client.create_dm(discord.Object(job.user_id))
        letter = await owner.send(
            **await self._written(job, text, again),
            files=again,
            nonce=nonce("private", job.id),
            allowed_mentions=SILENT,
            suppress_embeds=True,
        )
        return letter.id

    def _is_guest(self, job: Job) -> bool:
        """Whether the bot was used through a member's installation, in a server without the bot."""
        return job.guild_id is not None and self._client.get_guild(job.guild_id) is None

    async def _put_as_bot(self, job: Job, text: str, files: Sequence[discord.File]) -> int:
        channel = self._client.get_partial_messageable(job.channel_id or 0, guild_id=job.guild_id)
        message_id = job.message_id or await self._find(channel, job)
        if message_id is None:
            new = await channel.send(
                **await self._written(job, f"<@{job.user_id}>\n{text}", files),
                files=files,
                nonce=nonce("request", job.id, channel.id),
                allowed_mentions=SILENT,
                suppress_embeds=True,
            )
            return new.id
        await self._edit(channel.get_partial_message(message_id).edit, job, text, files)
        return message_id

    async def _put_with_token(self, job: Job, text: str, files: Sequence[discord.File]) -> bool:
        """Edit the known message with the interaction token; False if there is no valid token."""
        token = await self._app.outbox.token(job.id)
        if token is None or job.message_id is None or self._client.application_id is None:
            return False
        async_context.set(self._webhooks)
        webhook = discord.Webhook.partial(self._client.application_id, token, client=self._client)
        try:
            await self._edit(functools.partial(webhook.edit_message, job.message_id), job, text, files)
        except discord.HTTPException as error:
            if error.status not in (401, 404) or error.code == UNKNOWN_MESSAGE:
                raise
            log.info("answer_token_refused job=%s code=%s", job.id, error.code)
            return False
        return True

    async def _edit(
        self, edit: Callable[..., Awaitable[object]], job: Job, text: str, files: Sequence[discord.File]
    ) -> None:
        """Edit a message into the text or the gallery; one that was a gallery before takes no plain text any more."""
        written = await self._written(job, text, files)
        try:
            await edit(**written, attachments=files, allowed_mentions=SILENT)
        except discord.HTTPException as error:
            if error.code != INVALID_FORM or isinstance(written["view"], discord.ui.LayoutView):
                raise
            again = _unread(files)
            view = result_message(self._app.settings, job, text, again)
            await edit(content=None, view=view, attachments=again, allowed_mentions=SILENT)

    async def _written(self, job: Job, text: str, files: Sequence[discord.File]) -> dict[str, Any]:
        """A message's content and its components: finished pictures come in a gallery."""
        settings = self._app.settings
        if files and job.status == JobStatus.SUCCEEDED:
            is_rated = job.kind != JobKind.EXPLAIN and (await self._app.ratings.settings(job.user_id)).is_shown
            asks = {"is_rated": is_rated, "is_compared": await is_compared(self._app, job)}
            return {"content": None, "view": result_message(settings, job, text, files, **asks)}
        card = settings.cards.get(job.request["model"])
        view = buttons(job, steers=card is None or card.steers)
        for item in restyle_items(job, settings.offered):
            view.add_item(item)
        return {"content": text, "view": view}

    async def _open_thread(self, job: Job) -> bool:
        """Open a job's archived thread; False if it is locked or the bot lacks the permission."""
        try:
            thread = await self._client.fetch_channel(job.channel_id or 0)
            if not isinstance(thread, discord.Thread) or thread.locked:
                return False
            await thread.edit(archived=False)
        except discord.Forbidden as error:
            log.info("thread_stays_archived job=%s code=%s", job.id, error.code)
            return False
        log.info("thread_opened job=%s", job.id)
        return True

    async def _find(self, channel: discord.PartialMessageable, job: Job) -> int | None:
        """Search for a placeholder whose id was lost in a crash: a message of the bot with the job's buttons."""
        try:
            found = await find_own(self._client, channel, job.created_at, lambda message: is_of(message, job.id))
        except discord.Forbidden:
            log.info("placeholder_unreadable job=%s", job.id)
            return None
        if found:
            log.info("placeholder_adopted job=%s", job.id)
        return found


async def find_own(
    client: discord.Client, channel: discord.PartialMessageable, since: float, is_it: Callable[[discord.Message], bool]
) -> int | None:
    """Search for a message of the bot that was written at ``since``; None if there is none.

    It is looked for among the newest ones too: ``since`` is another time than Discord's if the clock was set meanwhile.
    """
    then = datetime.fromtimestamp(since - CLOCK_SKEW, UTC)
    for after in (then, None):
        async for message in channel.history(limit=SEARCHED_MESSAGES, after=after):
            if client.user == message.author and is_it(message):
                return message.id
    return None


def is_lasting(error: discord.HTTPException) -> bool:
    """Whether retrying would give the same error; an invalid token is the operator's to fix."""
    return 400 <= error.status < 500 and error.status not in (401, 408, 429)


def _unread(files: Iterable[discord.File]) -> list[discord.File]:
    """The same files, rewound for another request."""
    again: list[discord.File] = []
    for file in files:
        file.fp.seek(0)
        again.append(discord.File(file.fp, file.filename, spoiler=file.spoiler, description=file.description))
    return again
