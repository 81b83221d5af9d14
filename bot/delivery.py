"""Delivery: turns placeholders into pictures, and only then marks the jobs delivered."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import discord

from bot import messages
from bot.app import App
from bot.cogs.base import SILENT, spot
from bot.cogs.restyle import offer_restyle
from bot.gate import Spot
from bot.lanes import Lanes, to_its_end
from bot.models import Job, JobStatus
from bot.pictures import describe, shrink
from bot.views import buttons, is_of
from generators.base import place_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How long a lost wake-up may delay a message."""
PROGRESS_AFTER = 0.5
PROGRESS_SECONDS = 2.0
"""When a running job is first shown, and the least time between two such edits in one channel.

Discord takes 5 edits in 5 seconds there; the pictures need some of them.
"""
PREVIEW_AFTER = 3.0
"""How long a job is painted before its rough picture is worth an upload."""
WAITING_SECONDS = 15.0
"""How often a waiting job's place and time left are looked at again."""
CHANNELS_AT_ONCE = 8
"""One message at a time in each channel, so that a slow channel holds up only itself."""
PATIENCE_SECONDS = 120.0
"""How long one message may take, with all of discord.py's own retries."""
LONGEST_PAUSE = 300.0
LAST_WORDS_SECONDS = 3.0
"""How long messages that are being written may take once the bot stops."""
ADOPT_AFTER = 10.0
"""When a job without a known message looks for one; Discord takes the answer to a command for 3 seconds only."""
CLOCK_SKEW = 60.0
"""How far our clock may be ahead of Discord's."""
SEARCHED_MESSAGES = 200

UNKNOWN_MESSAGE = 10008
REQUEST_TOO_LARGE = 40005
MISSING_PERMISSIONS = 50013


@dataclass(frozen=True)
class _Shown:
    text: str = ""
    at: float = -math.inf


class Delivery:
    """Posts what has ended, and shows how far the rest is; needs the client's REST side only.

    An edit by message id can be repeated without harm, so a job is marked delivered only after Discord has taken it:
    a crash in between edits the same message once more.
    """

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        self._lanes = Lanes(CHANNELS_AT_ONCE)
        self._shown: dict[int, _Shown] = {}
        self._moved: dict[int, float] = {}
        self._looked_at_queue = -math.inf
        self._without_previews: set[int] = set()  # channels where nothing may be attached

    async def run(self) -> None:
        """Work until cancelled."""
        await self._client.wait_until_ready()
        try:
            while True:
                await to_its_end(self._look())
                await self._app.jobs.changed.wait(POLL_SECONDS)
        finally:
            await self._lanes.close(LAST_WORDS_SECONDS)

    async def _look(self) -> None:
        try:
            while [job for job in await self._undelivered() if self._begin(job, self._deliver)]:
                pass  # the next jobs of channels that were free, until there are none
            moving = [*await self._app.jobs.to_show(), *await self._waiting()]
            for job in sorted(moving, key=lambda job: (_is_waiting(job), self._seen(job).at)):
                if self._is_stale(job):
                    self._begin(job, self._show)
        except Exception as error:
            log.error("delivery_failed reason=%s", place_of(error))

    def _begin(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> bool:
        """Work on a job in the background, unless its channel is busy."""
        return self._lanes.begin(_channel_id(job), f"limner-delivery-{job.id}", lambda: self._work(job, work))

    async def _work(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            await work(job)
            self._app.jobs.changed.hear()
        except Exception as error:
            log.error("delivery_failed job=%s reason=%s", job.id, place_of(error))

    # What has ended.

    async def _undelivered(self) -> list[Job]:
        return [job for job in await self._app.jobs.undelivered(self._lanes.busy) if _can_be_found(job)]

    async def _deliver(self, job: Job) -> None:
        try:
            if not await self._may_be_posted(job):
                return
            async with asyncio.timeout(PATIENCE_SECONDS):
                message_id = await self._post_or_explain(job)
            await self._app.jobs.mark_delivered(job.id, message_id)
            self._shown.pop(job.id, None)
        except Exception as error:
            log.warning("delivery_postponed job=%s error=%s", job.id, type(error).__name__)
            await self._app.jobs.postpone_delivery(job.id, min(2.0**job.delivery_attempts, LONGEST_PAUSE))

    async def _may_be_posted(self, job: Job) -> bool:
        """Whether nothing is against a job's pictures in its channel as it is now; else its row says what is."""
        if job.status == JobStatus.REFUSED:
            await self._app.history.drop_refused(job)
        if job.status != JobStatus.SUCCEEDED:
            return True
        objection = await self._app.gate.objection(job, self._spot(job))
        if objection:
            await self._app.gate.stop(job, objection)
        return objection is None

    def _spot(self, job: Job) -> Spot:
        return spot(job.guild_id, job.channel_id, self._client.get_channel(_channel_id(job)))

    async def _post_or_explain(self, job: Job) -> int | None:
        try:
            return await self._post(job)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            log.info("delivery_refused job=%s code=%s", job.id, error.code)
            return await self._explain(job, error)

    async def _post(self, job: Job) -> int:
        """Write the answer with its pictures, as large as Discord takes them."""
        text = messages.ended(job)
        if job.status != JobStatus.SUCCEEDED:
            return await self._put(job, text)
        try:
            pictures = [await asyncio.to_thread(self._app.images.read, image.sha256) for image in job.images]
        except FileNotFoundError:
            pictures = []
        if not pictures:
            return await self._put(job, f"{text}\n{messages.FILES_GONE}")
        ladders = [shrink(picture) for picture in pictures]
        while rungs := await asyncio.to_thread(_next_rungs, ladders):
            try:
                return await self._put(job, text, _files(job, rungs))
            except discord.HTTPException as error:
                if error.status != 413 and error.code != REQUEST_TOO_LARGE:
                    raise
        return await self._put(job, f"{text}\n{messages.TOO_LARGE}")

    async def _explain(self, job: Job, error: discord.HTTPException) -> int | None:
        """The answer can never be posted, so say why where that is possible; a deleted placeholder stays deleted."""
        if error.code == UNKNOWN_MESSAGE:
            return job.message_id
        try:
            if error.code == MISSING_PERMISSIONS and job.images:
                return await self._put(job, f"{messages.ended(job)}\n{messages.NO_ATTACHING}")
            text = messages.UNREACHABLE if job.status == JobStatus.SUCCEEDED else job.reason
            owner = await self._client.create_dm(discord.Object(job.user_id))
            await owner.send(text, nonce=job.id, allowed_mentions=SILENT)
        except discord.HTTPException as again:
            if not is_lasting(again):
                raise
        return job.message_id

    # What has not ended yet.

    def _seen(self, job: Job) -> _Shown:
        return self._shown.get(job.id, _Shown())

    def _is_stale(self, job: Job) -> bool:
        now = time.monotonic()
        if now - self._moved.get(_channel_id(job), -math.inf) < PROGRESS_SECONDS:
            return False
        if _is_waiting(job):
            told_before = time.time() - job.created_at < WAITING_SECONDS or now - self._seen(job).at < WAITING_SECONDS
            return job.message_id is not None and not told_before
        if job.held_at is None and (job.message_id is None or time.time() - (job.started_at or 0) < PROGRESS_AFTER):
            return False
        return _can_be_found(job) and self._seen(job).text != _moving(job)

    async def _show(self, job: Job) -> None:
        """Write how far a job is; what fails is tried again while there is something to show."""
        text, now = await self._text(job), time.monotonic()
        if text == self._seen(job).text:
            self._shown[job.id] = _Shown(text, now)
            return
        self._moved[_channel_id(job)] = now
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                message_id = await self._put_with_preview(job, text)
            if message_id != job.message_id:
                await self._app.jobs.attach_message(job.id, message_id)
        except discord.NotFound:
            if job.held_at is not None:
                await self._app.jobs.cancel(job.id, messages.NOBODY_CHOSE)
        except (discord.HTTPException, OSError, TimeoutError) as error:
            log.info("progress_failed job=%s error=%s", job.id, type(error).__name__)
            text = text if isinstance(error, discord.HTTPException) and is_lasting(error) else ""
        self._shown[job.id] = _Shown(text, now)

    async def _waiting(self) -> Sequence[Job]:
        """The next jobs in the queue, now and then: they are many, and move slowly."""
        if time.monotonic() - self._looked_at_queue < WAITING_SECONDS / 5:
            return []
        self._looked_at_queue = time.monotonic()
        return await self._app.jobs.next_in_line()

    async def _text(self, job: Job) -> str:
        return messages.queued(job, await self._app.jobs.position(job)) if _is_waiting(job) else _moving(job)

    async def _put_with_preview(self, job: Job, text: str) -> int:
        """Write how far a job is, with the rough picture where there is one and the channel takes files."""
        preview = await self._preview(job)
        try:
            return await self._put(job, text, preview)
        except discord.HTTPException as error:
            if not preview or isinstance(error, discord.NotFound) or not is_lasting(error):
                raise
            self._without_previews.add(_channel_id(job))
            return await self._put(job, text)

    async def _preview(self, job: Job) -> list[discord.File]:
        if job.quarantine:
            return []
        is_young = job.started_at is None or time.time() - job.started_at < PREVIEW_AFTER
        if is_young or _channel_id(job) in self._without_previews:
            return []
        preview = await self._app.jobs.preview(job.id)
        if preview and await self._app.gate.against(preview, self._spot(job), job):
            return []
        name = f"limner-{job.id}-preview.jpg"
        if preview is None:
            return []
        file = io.BytesIO(preview.image)
        return [discord.File(file, name, spoiler=job.is_spoiler, description=messages.PREVIEW)]

    # One message.

    async def _put(self, job: Job, text: str, files: Sequence[discord.File] = ()) -> int:
        """Write into the job's message: the one that is known, else one found in the channel, else a new one."""
        channel = self._client.get_partial_messageable(_channel_id(job), guild_id=job.guild_id)
        message_id = job.message_id or await self._find(channel, job)
        if message_id is None:
            text = f"<@{job.user_id}>\n{text}"
            new = await channel.send(
                text,
                files=files,
                view=self._buttons(job),
                nonce=job.id,
                allowed_mentions=SILENT,
                suppress_embeds=True,
            )
            return new.id
        message = channel.get_partial_message(message_id)
        await message.edit(content=text, attachments=files, view=self._buttons(job), allowed_mentions=SILENT)
        return message_id

    def _buttons(self, job: Job) -> discord.ui.View:
        return offer_restyle(buttons(job), job, self._app.settings.cards)

    async def _find(self, channel: discord.PartialMessageable, job: Job) -> int | None:
        """Look for a placeholder whose id was lost with a process: it is our own, and its buttons name the job."""
        since = datetime.fromtimestamp(job.created_at - CLOCK_SKEW, UTC)
        try:
            async for message in channel.history(limit=SEARCHED_MESSAGES, after=since, oldest_first=True):
                if self._client.user == message.author and is_of(message, job.id):
                    log.info("placeholder_adopted job=%s", job.id)
                    return message.id
        except discord.Forbidden:
            log.info("placeholder_unreadable job=%s", job.id)
        return None


def _channel_id(job: Job) -> int:
    return job.channel_id or 0


def _can_be_found(job: Job) -> bool:
    """Its message is known, or is not about to become known any more."""
    return job.message_id is not None or time.time() - job.created_at > ADOPT_AFTER


def _is_waiting(job: Job) -> bool:
    return job.status == JobStatus.QUEUED and job.held_at is None


def _moving(job: Job) -> str:
    if job.quarantine and job.is_final:
        return messages.quarantined(job)
    return messages.painting(job) if job.held_at is None else messages.held(job)


def _next_rungs(ladders: Sequence[Iterator[tuple[str, bytes]]]) -> list[tuple[str, bytes]]:
    """The next smaller files of all pictures; empty when there are none."""
    return [rung for ladder in ladders for rung in [next(ladder, None)] if rung]


def _files(job: Job, rungs: Sequence[tuple[str, bytes]]) -> list[discord.File]:
    names = (f"limner-{job.id}-{number}" for number, _ in enumerate(rungs, 1))
    return [
        discord.File(io.BytesIO(data), f"{name}.{extension}", spoiler=job.is_spoiler, description=describe(job))
        for name, (extension, data) in zip(names, rungs, strict=True)
    ]


def is_lasting(error: discord.HTTPException) -> bool:
    """Trying again would bring the same answer; a token that is not valid is the operator's to mend."""
    return 400 <= error.status < 500 and error.status not in (401, 408, 429)
