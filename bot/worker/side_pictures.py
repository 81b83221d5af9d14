"""Makes and classifies small copies of the pictures beside models, while a worker is idle."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path

from PIL import Image

from limner.bot.app import App
from limner.bot.errors import BadPicture, NotClassified
from limner.bot.model_pictures import ModelPictures
from limner.bot.worker.classifier_thread import ClassifierThread

log = logging.getLogger(__name__)


async def look_at_model_pictures(app: App, classifier: ClassifierThread) -> None:
    """Copy the next picture that is new or has changed; one that cannot be used costs a log line."""
    pictures = ModelPictures(app.settings)
    found = await asyncio.to_thread(pictures.next_missing, [*app.settings.offered.values()])
    if found is None:
        return
    card, side = found
    try:
        data = await asyncio.to_thread(_read, side.file, app.settings.max_input_bytes)
        app.inputs.check_size(len(data))
        image = Image.open(io.BytesIO(await app.decoder.clean(data)))
        seen = await classifier.look(image)
    except NotClassified:
        return  # later
    except (BadPicture, OSError) as error:
        log.warning("model_picture_unusable model=%s reason=%s", card.name, type(error).__name__)
        await asyncio.to_thread(pictures.keep, side, None, None)
    else:
        await asyncio.to_thread(pictures.keep, side, image, seen.score)


def _read(file: Path, most: int) -> bytes:
    """The bytes of a file, one more than ``most`` of a larger one."""
    with file.open("rb") as opened:
        return opened.read(most + 1)
