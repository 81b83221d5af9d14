"""Makes the zip files of members' exports, one at a time, and sends them to them."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any, cast

import discord
from discord.webhook.async_ import async_context

from limner.bot.app import App
from limner.bot.background import to_its_end
from limner.bot.errors import NotFound
from limner.bot.limits import nonce, some
from limner.bot.place import OUTSIDE
from limner.bot.storage.export_files import ExportFile, pictures_of
from limner.bot.storage.member_data import Section
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.privacy_tables import Export
from limner.bot.translation import N_, _, speaking
from limner.bot.ui.delivery.erasing import pictures
from limner.bot.ui.delivery.posting import REQUEST_TOO_LARGE, is_lasting
from limner.bot.ui.interactions import SILENT
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

LARGEST = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
"""Bytes of a file that Discord takes in a direct message."""
SPARE = 2**16
"""Bytes of a part for its README and the zip's own table of contents."""
LEAST = 2**17
"""Bytes of the smallest part that is tried; then Discord takes none."""
NAMED = 200
"""Pictures left out of a part that its README names."""
APPLICATION = discord.WebhookType.application.value
FORBIDDEN = 403
"""The status for a member who takes no direct messages, or with whom the bot shares no server any more."""
IDLE_SECONDS = 3600.0
RETRY_SECONDS = 30.0
"""Pause after an error of Discord's or the database's."""

SENT = N_("Part {part} of your export {number}, with {pictures}. The next one follows.")
LAST = N_("Part {part} of your export {number}, with {pictures}: the last one.")
README = N_(
    "Part {part} of everything that this bot stores about you.\n\n"
    "Each table is there as .json (exact) and as .csv (for spreadsheets). Times are seconds since 1970, in UTC. "
    "pictures/7-2.png is picture 2 of request 7; given/ holds the pictures that you gave, under the hash that the "
    "tables name. Tables that end in _as_moderator say what you changed or decided, and when."
)
SMALLER = N_(
    "Larger than Discord takes, so here as a smaller copy; the bot's operator can give you the originals: {names}"
)
LEFT_OUT = N_(
    "Left out, because they may not be shown in direct messages, wait to be looked at, or are damaged: {names}"
)


Found = tuple[str, bytes]
"""A picture's extension and its file."""


class Exporter:
    """Sends each member's export part by part; a restart goes on with the part that was not sent."""

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client
        #: The largest part of an export that Discord has not refused, by its number.
        self._most: dict[int, int] = {}
        # discord.py finds what sends webhooks in the context, and a background task has an empty one of its own.
        self._webhooks = async_context.get()

    async def run(self) -> None:
        """Work until cancelled."""
        async_context.set(self._webhooks)
        await self._client.wait_until_ready()
        while True:
            try:
                pause = 0.0 if await self._step() else IDLE_SECONDS
            except Exception as error:
                log.warning("export_waits reason=%s", error_site(error))
                pause = RETRY_SECONDS
            await self._app.exports.wait(pause)

    async def _step(self) -> bool:
        """Make and send the next part of an export; False if there is none to send."""
        export = await to_its_end(self._app.exports.next())
        if export is None:
            return False
        part = Part(self._app, export, self._most.get(export.id, LARGEST))
        await to_its_end(part.make())
        if await to_its_end(self._app.exports.of_member(export.user_id)):  # otherwise it was erased meanwhile
            await self._send(export, part)
        return True

    async def _send(self, export: Export, part: Part) -> None:
        """Send a part, and record it; one that is too large is made smaller at the next step."""
        with speaking(export.locale):
            text = _(
                LAST if part.is_last else SENT,
                number=export.id,
                part=export.parts + 1,
                pictures=pictures(part.file.pictures),
            )
        try:
            await self._deliver(export, text, part.data)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            log.info("export_refused export=%s code=%s", export.id, error.code)
            is_too_large = error.status == 413 or error.code == REQUEST_TOO_LARGE
            self._most[export.id] = 3 * part.most // 4
            if not is_too_large or self._most[export.id] < LEAST:
                del self._most[export.id]
                await to_its_end(self._app.exports.hold(export))
            return
        if part.is_last:
            self._most.pop(export.id, None)
            await to_its_end(self._app.exports.finish(export))
        else:
            await to_its_end(self._app.exports.mark_sent(export, *part.place, part.file.pictures))

    async def _deliver(self, export: Export, text: str, zipped: io.BytesIO) -> None:
        """Send a file by direct message, or where the member takes none, as an answer that only they see."""
        name = f"limner-export-{export.id}-{export.parts + 1}.zip"
        try:
            channel = await self._client.create_dm(discord.Object(export.user_id))
            await channel.send(
                text,
                file=_file(zipped, name),
                nonce=nonce("export", export.id, export.parts),
                allowed_mentions=SILENT,
            )
        except discord.HTTPException as error:
            if error.status != FORBIDDEN or export.token_expires_at < time.time():
                raise
            state = cast("Any", self._client)._connection
            data: Any = {"id": self._client.application_id, "type": APPLICATION, "token": export.token}
            webhook = discord.Webhook.from_state(data, state)
            await webhook.send(text, file=_file(zipped, name), ephemeral=True, allowed_mentions=SILENT)


def _file(zipped: io.BytesIO, name: str) -> discord.File:
    """A file to send; discord.py closes what it has sent."""
    return discord.File(io.BytesIO(zipped.getbuffer()), name)


class Part:
    """The next part of an export: rows in their order, as many as find room, with the pictures that may be shown.

    It is in memory only: what it holds is not encrypted, and it is no larger than what Discord takes.
    """

    def __init__(self, app: App, export: Export, most: int) -> None:
        self._app = app
        self._export = export
        self.most = most
        self.data = io.BytesIO()
        self.file = ExportFile(self.data, export.parts + 1, most - SPARE)
        #: The last row in it: its section and its primary key.
        self.place: tuple[str, list[Any] | None] = (export.section, export.after)
        self.is_last = False
        self._smaller: list[str] = []
        self._left_out: list[str] = []
        self._job: Job | None = None

    async def make(self) -> None:
        """Write it."""
        has = self._app.images.has
        async with aclosing(self._app.exports.rows(self._export.user_id, *self.place)) as rows:
            async for section, row in rows:
                named = {name: sha256 for name, sha256 in pictures_of(section.name, row).items() if has(sha256)}
                found = {name: await self._found(section, row, sha256, len(named)) for name, sha256 in named.items()}
                files = {f"{name}.{one[0]}": one[1] for name, one in found.items() if one}
                if not await asyncio.to_thread(self.file.add, section.name, row, files):
                    break
                self.place = section.name, section.key(row)
                self._left_out += [name for name, one in found.items() if one is None]
                self._smaller += [name for name, one in found.items() if one and one[0] != "png"]
            else:
                self.is_last = True
        with speaking(self._export.locale):
            await asyncio.to_thread(self.file.close, self._readme())

    def _readme(self) -> str:
        named = {SMALLER: self._smaller, LEFT_OUT: self._left_out}
        lines = [_(sentence, names=some(names, NAMED)) for sentence, names in named.items() if names]
        return "\n\n".join([_(README, part=self._export.parts + 1), *lines]) + "\n"

    async def _found(self, section: Section, row: Mapping[str, Any], sha256: str, among: int) -> Found | None:
        """The file of one ``among`` a row's pictures, with its extension; None if it may not be shown."""
        if not await self._may_show(section, row, sha256):
            return None
        [fitted] = await self._app.decoder.fit([sha256], (self.most - 2 * SPARE) // among)
        return fitted

    async def _may_show(self, section: Section, row: Mapping[str, Any], sha256: str) -> bool:
        """Whether a picture may come by direct message: by the classifier's result."""
        if section.name == "jobs" and sha256 == row["mask_sha256"]:
            return True
        job = await self._request(row["id"] if section.name == "jobs" else row.get("job_id"))
        if job is None:
            return False
        if section.name == "images":
            objection = await self._app.image_policy.objection(job, OUTSIDE)
            return objection is None or (bool(objection.codes) and row["id"] not in objection.codes)
        given = await self._app.inputs.get(sha256)
        return given is not None and await self._app.image_policy.against(given, OUTSIDE, job) is None

    async def _request(self, number: int | None) -> Job | None:
        """A row's request, which several rows in turn have; None if there is none, or it was deleted."""
        if number is None:
            return None
        if self._job is None or self._job.id != number:
            with suppress(NotFound):
                self._job = await self._app.jobs.get(number)
        return self._job if self._job and self._job.id == number else None
