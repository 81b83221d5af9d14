"""Writes the image-text model's embeddings of pictures: of those just painted, and of older ones while it is idle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from limner.bot.app import App
from limner.bot.background import patiently
from limner.bot.settings import Settings
from limner.bot.storage.history.picture_embeddings import Missing
from limner.bot.storage.tables.models import Job
from limner.bot.worker.scoring_thread import ScoringThread

AT_ONCE = 8
"""Older pictures that are read, embedded and written together; their files and pixels are in memory meanwhile."""


def embeds(settings: Settings) -> bool:
    """Whether this worker embeds pictures: with a model that is a folder here.

    One that has to be downloaded first is left to who asks for it. A worker for a server's models loads no torch.
    """
    is_here = bool(settings.image_text_model) and Path(settings.image_text_source).is_dir()
    return not settings.servers_paint and is_here


async def embed_new(app: App, scoring: ScoringThread, job: Job, images: Sequence[Image.Image]) -> None:
    """Write the embeddings of a finished job's pictures."""
    if embeds(app.settings) and (features := await scoring.features(images)):
        await patiently(lambda: app.jobs.keep_features(job, features, app.settings.image_text_model))


class OlderPictures:
    """Embeds pictures of earlier requests, the newest first, a few at a time."""

    def __init__(self, app: App, scoring: ScoringThread) -> None:
        self._app = app
        self._scoring = scoring
        self._are_marked = not embeds(app.settings)
        self._are_done = self._are_marked

    async def embed(self) -> None:
        """Write the embeddings of the next few.

        A file that is gone or broken is written down too, without an embedding, so that it is not tried again.
        """
        if self._are_done:
            return
        rows = self._app.alike.rows
        if not self._are_marked:
            await rows.mark_others()
            self._are_marked = True
        missing = await rows.missing(AT_ONCE)
        opened = {one.id: image for one in missing if (image := await asyncio.to_thread(_opened, self._app, one))}
        features = await self._scoring.features([*opened.values()]) if opened else []
        self._are_done = not missing or len(features) < len(opened)  # the model has failed: not again
        if not self._are_done:
            embeddings = dict(zip(opened, features, strict=True))
            await rows.write({one.id: embeddings.get(one.id) for one in missing})


def _opened(app: App, picture: Missing) -> Image.Image | None:
    try:
        return app.images.open(picture.sha256)
    except (OSError, ValueError):
        return None
