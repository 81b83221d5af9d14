"""Delivery: edits placeholders into the pictures, then marks the jobs delivered."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass

import discord

from limner.bot.app import App
from limner.bot.background import Lanes, to_its_end
from limner.bot.place import Where
from limner.bot.queue.outbox import LONGEST_HOLD, LONGEST_PAUSE
from limner.bot.reasons import JobStatus
from limner.bot.storage.pictures.budget import MESSAGE_BYTES
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _
from limner.bot.ui.delivery.posting import (
    REQUEST_TOO_LARGE,
    Posting,
    is_lasting,
)
from limner.bot.ui.delivery.refused_answers import HeldBack, RefusedAnswers
from limner.bot.ui.interactions import speaking_to_server, spot
from limner.bot.ui.job import job_messages
from limner.generators.animation import Animation
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Longest delay of a message after a lost wake-up."""
PROGRESS_AFTER = 0.5
PROGRESS_SECONDS = 2.0
"""When a running job is first shown, and the least time between two such edits in one channel.

Discord takes 5 edits in 5 seconds there; the pictures need some of them.
"""
PREVIEW_AFTER = 3.0
"""Seconds of painting after which a preview is worth an upload."""
WAITING_SECONDS = 15.0
"""Interval at which a waiting job's position and time left are updated."""
CHANNELS_AT_ONCE = 8
"""Channels served at once, one message at a time in each, so that a slow channel delays only itself."""
MESSAGE_SECONDS = 120.0
"""Time limit of one message, with all of discord.py's own retries."""
LAST_WORDS_SECONDS = 3.0
"""Time for messages in progress when the bot stops."""
ADOPT_AFTER = 10.0
"""Age at which a job without a known message searches for one; a command's answer takes 3 seconds at most."""
TOKENS_SECONDS = 60.0
"""Interval at which expired interaction tokens are deleted."""
SMALL_BYTES = 4 * 2**20
"""Bytes of files in a message that need no budget."""


@dataclass(frozen=True)
class _Shown:
    text: str = ""
    at: float = -math.inf


class Delivery:
    """Posts the answers of finished jobs, and shows the progress of others; needs only the client's REST side.

    Edits by message id are idempotent, so a job is marked delivered only after Discord has accepted its message: a
    crash in between edits the same message once more.
    """

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        self._posting = Posting(app, client)
        self._refused = RefusedAnswers(app, client, self._posting)
        self._lanes = Lanes(CHANNELS_AT_ONCE)
        self._shown: dict[int, _Shown] = {}
        self._moved: dict[int, float] = {}
        self._looked_at_queue = self._erased_tokens = -math.inf
        self._without_previews: set[int] = set()  # channels without Attach Files

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
            await self._app.outbox.try_again()
            while [job for job in await self._undelivered() if self._begin(job, self._deliver)]:
                pass  # the next jobs of free channels, until there are none
            await self._erase_tokens()
            moving = [*await self._app.jobs.to_show(), *await self._waiting()]
            for job in sorted(moving, key=lambda job: (_is_waiting(job), self._seen(job).at)):
                if await self._is_stale(job):
                    self._begin(job, self._show)
        except Exception as error:
            log.error("delivery_failed reason=%s", error_site(error))

    async def _erase_tokens(self) -> None:
        if time.monotonic() - self._erased_tokens < TOKENS_SECONDS:
            return
        self._erased_tokens = time.monotonic()
        await self._app.outbox.forget_expired()

    def _begin(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> bool:
        """Work on a job in the background, unless its channel is busy."""
        return self._lanes.begin(_channel_id(job), f"limner-delivery-{job.id}", lambda: self._work(job, work))

    async def _work(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            with await self._speaking(job):
                await work(job)
            self._app.jobs.changed.hear()
        except Exception as error:
            log.error("delivery_failed job=%s reason=%s", job.id, error_site(error))

    async def _speaking(self, job: Job) -> AbstractContextManager[None]:
        """Write in the language of a job's server; what only its owner reads in the owner's."""
        guild = None if job.is_private else self._client.get_guild(job.guild_id or 0)
        return await speaking_to_server(self._app, guild, job.locale)

    # Finished jobs.

    async def _undelivered(self) -> list[Job]:
        return [job for job in await self._app.jobs.undelivered(self._lanes.busy) if _can_be_found(job)]

    async def _deliver(self, job: Job) -> None:
        try:
            if not await self._may_be_posted(job):
                return
            async with asyncio.timeout(MESSAGE_SECONDS):
                message_id = await self._post_or_explain(job)
            await self._app.jobs.mark_delivered(job.id, message_id)
            self._shown.pop(job.id, None)
        except HeldBack:
            await self._app.outbox.hold_back(job.id, min(2.0**job.delivery_attempts, LONGEST_HOLD))
        except Exception as error:
            log.warning("delivery_postponed job=%s error=%s", job.id, type(error).__name__)
            await self._app.jobs.postpone_delivery(job.id, min(2.0**job.delivery_attempts, LONGEST_PAUSE))

    async def _may_be_posted(self, job: Job) -> bool:
        """Whether a job's pictures are allowed in its channel now; otherwise the objection is stored."""
        if job.status == JobStatus.REFUSED:
            await self._app.history.drop_refused(job)
        if job.status != JobStatus.SUCCEEDED:
            return True
        objection = await self._app.image_policy.objection(job, self._spot(job))
        if objection:
            await self._app.image_policy.stop(job, objection)
        return objection is None

    def _spot(self, job: Job) -> Where:
        """The job's place as it is now; an archived thread, which is in no cache, counts as its channel."""
        if job.is_private:  # it may come as a direct message
            return Where(job.guild_id, job.channel_id)
        known = map(self._client.get_channel, [_channel_id(job), *job.parent_ids])
        return spot(job.guild_id, job.channel_id, next(filter(None, known), None))

    async def _post_or_explain(self, job: Job) -> int | None:
        try:
            return await self._post(job)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            log.info("delivery_refused job=%s code=%s", job.id, error.code)
            return await self._refused.explain(job, error)

    async def _post(self, job: Job) -> int:
        """Post the answer with its pictures, as large as Discord accepts them."""
        text = job_messages.ended(job, self._app.styles, says_ai=self._app.settings.says_ai)
        if job.status != JobStatus.SUCCEEDED:
            return await self._posting.put(job, text)
        files = [image.sha256 for image in job.images]
        sizes = await asyncio.to_thread(lambda: [self._app.images.file_size(file) for file in files])
        if not sizes or 0 in sizes:
            return await self._posting.put(job, f"{text}\n{_(job_messages.FILES_GONE)}")
        animation = job.generation.animation
        most = min(self._largest(job), MESSAGE_BYTES // (2 if animation else len(files)))
        async with self._room(sum(min(size, most) for size in sizes)):
            while all(rungs := await self._fitted(files, most, animation)):
                fitted = [rung for rung in rungs if rung]
                try:
                    return await self._posting.put(job, text, _files(job, fitted, says_ai=self._app.settings.says_ai))
                except discord.HTTPException as error:
                    if error.status != 413 and error.code != REQUEST_TOO_LARGE:
                        raise
                    most = 3 * max(len(data) for _, data in fitted) // 4
        is_whole = None not in await asyncio.to_thread(lambda: [self._app.images.intact(file) for file in files])
        too_large = job_messages.ANIMATION_TOO_LARGE if animation else job_messages.TOO_LARGE
        sentence = too_large if is_whole else job_messages.FILES_GONE
        return await self._posting.put(job, f"{text}\n{_(sentence)}")

    async def _fitted(
        self, files: Sequence[str], most: int, animation: Animation | None
    ) -> list[tuple[str, bytes] | None]:
        """The files to post, each of at most ``most`` bytes: of pictures, or of one animation."""
        return await (
            self._app.decoder.clips(files[0], most, animation) if animation else self._app.decoder.fit(files, most)
        )

    def _largest(self, job: Job) -> int:
        """Most bytes of one file where the job was requested."""
        guild = None if job.is_private else self._client.get_guild(job.guild_id or 0)
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    def _room(self, amount: int) -> AbstractAsyncContextManager[None]:
        """Wait until the files of a large message fit the byte budget; small ones need none."""
        return self._app.held.take(amount) if amount > SMALL_BYTES else nullcontext()

    # Waiting and running jobs.

    def _seen(self, job: Job) -> _Shown:
        return self._shown.get(job.id, _Shown())

    async def _is_stale(self, job: Job) -> bool:
        now = time.monotonic()
        if now - self._moved.get(_channel_id(job), -math.inf) < PROGRESS_SECONDS:
            return False
        if _is_waiting(job):
            is_recent = time.time() - job.created_at < WAITING_SECONDS or now - self._seen(job).at < WAITING_SECONDS
            return job.message_id is not None and not is_recent
        if job.held_at is None and (job.message_id is None or time.time() - (job.started_at or 0) < PROGRESS_AFTER):
            return False
        with await self._speaking(job):
            return _can_be_found(job) and self._seen(job).text != _moving(job)

    async def _show(self, job: Job) -> None:
        """Show a job's progress; errors are retried while there is progress."""
        text, now = await self._text(job), time.monotonic()
        if text == self._seen(job).text:
            self._shown[job.id] = _Shown(text, now)
            return
        self._moved[_channel_id(job)] = now
        try:
            async with asyncio.timeout(MESSAGE_SECONDS):
                message_id = await self._put_with_preview(job, text)
            if message_id != job.message_id:
                await self._app.jobs.attach_message(job.id, message_id)
        except discord.NotFound:
            if job.held_at is not None:
                await self._app.jobs.cancel(job.id, job_messages.NOBODY_CHOSE)
        except (discord.HTTPException, OSError, TimeoutError) as error:
            log.info("progress_failed job=%s error=%s", job.id, type(error).__name__)
            text = text if isinstance(error, discord.HTTPException) and is_lasting(error) else ""
        self._shown[job.id] = _Shown(text, now)

    async def _waiting(self) -> Sequence[Job]:
        """The next jobs in the queue, at intervals: they are many and move slowly."""
        if time.monotonic() - self._looked_at_queue < WAITING_SECONDS / 5:
            return []
        self._looked_at_queue = time.monotonic()
        return await self._app.jobs.next_in_line()

    async def _text(self, job: Job) -> str:
        return job_messages.queued(job, await self._app.jobs.position(job)) if _is_waiting(job) else _moving(job)

    async def _put_with_preview(self, job: Job, text: str) -> int:
        """Show a job's progress, with its preview if there is one and the channel accepts files."""
        preview = await self._preview(job)
        try:
            return await self._posting.put(job, text, preview)
        except discord.HTTPException as error:
            if not preview or isinstance(error, discord.NotFound) or not is_lasting(error):
                raise
            self._without_previews.add(_channel_id(job))
            return await self._posting.put(job, text)

    async def _preview(self, job: Job) -> list[discord.File]:
        if job.quarantine:
            return []
        is_young = job.started_at is None or time.time() - job.started_at < PREVIEW_AFTER
        if is_young or _channel_id(job) in self._without_previews:
            return []
        preview = await self._app.jobs.preview(job.id)
        if preview and await self._app.image_policy.against(preview, self._spot(job), job):
            return []
        name = f"limner-{job.id}-preview.jpg"
        if preview is None:
            return []
        file = io.BytesIO(preview.image)
        return [discord.File(file, name, spoiler=job.is_spoiler, description=_(job_messages.PREVIEW))]


def _channel_id(job: Job) -> int:
    return job.channel_id or 0


def _can_be_found(job: Job) -> bool:
    """Whether its message is known or may be searched for; the clock may have been set back.

    An answer with a time of delivery was moved or tried before, so that no command still posts its first message.
    """
    is_new = not job.deliver_after and abs(time.time() - job.created_at) <= ADOPT_AFTER
    return job.message_id is not None or not is_new


def _is_waiting(job: Job) -> bool:
    return job.status == JobStatus.QUEUED and job.held_at is None


def _moving(job: Job) -> str:
    if job.quarantine and job.is_final:
        return job_messages.quarantined(job)
    return job_messages.painting(job) if job.held_at is None else job_messages.held(job)


def _files(job: Job, rungs: Sequence[tuple[str, bytes]], *, says_ai: bool) -> list[discord.File]:
    about = describe(job, says_ai=says_ai)
    if job.is_animation:
        names = [f"limner-{job.id}" for _rung in rungs]
    else:
        names = [f"limner-{job.id}-{image.position + 1}" for image in job.images]
    return [
        discord.File(io.BytesIO(data), f"{name}.{extension}", spoiler=job.is_spoiler, description=about)
        for name, (extension, data) in zip(names, rungs, strict=True)
    ]
