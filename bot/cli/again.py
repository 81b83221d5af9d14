"""`limner imagine --from`: the request in a picture file, and how what comes of it compares with that picture."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from limner.bot.app import App
from limner.bot.cli.files import read_file
from limner.bot.options.ask import Ask
from limner.bot.options.from_picture import FromPicture, read_request, stored_originals
from limner.bot.options.picture_files import read_parameters
from limner.bot.options.repeats import compared, sentence_of
from limner.bot.queue.enqueue import NewJob
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, commas
from limner.generators.image_files import BadImage, open_image

LEFT_OUT = N_("Not taken over from {file}: {names}.")


@dataclass(frozen=True)
class Again:
    """A picture that is painted again."""

    file: Path
    data: bytes
    found: FromPicture
    #: Whether words or options were given too.
    is_changed: bool

    @property
    def new(self) -> NewJob:
        """The request."""
        return self.found.new

    async def notes(self, app: App, job: Job) -> list[str]:
        """What its file says that was not taken over, and how what was painted compares with its picture."""
        notes = [_(LEFT_OUT, file=self.file.name, names=commas(self.found.left_out))] if self.found.left_out else []
        return [*notes, *await asyncio.to_thread(self._compared, app, job)]

    def _compared(self, app: App, job: Job) -> list[str]:
        pairs: list[tuple[Image.Image, Image.Image]] = []
        with suppress(BadImage, FileNotFoundError):
            pairs = [(app.images.open(image.sha256), open_image(self.data)) for image in job.images[:1]]
        if not pairs or self.is_changed:
            return []
        return [sentence_of(compared(self.found.made_with, job.made_with or {}, pairs), self.file.name)]


async def read_again(app: App, file: Path, ask: Ask) -> Again:
    """The request that painted a picture, from its file alone; raises UserError with one sentence.

    Pictures that it was made from are those of the request in the log that has this very file.
    """
    data = await asyncio.to_thread(read_file, file)
    app.inputs.check_size(len(data))
    said = await asyncio.to_thread(read_parameters, data)
    logged = await app.history.with_file(hashlib.sha256(data).hexdigest())
    is_changed = bool(ask.text or any(ask.options.values()))
    originals = await asyncio.to_thread(stored_originals, app, logged, ask) if logged else None
    return Again(file, data, read_request(app, said, ask, originals), is_changed)
