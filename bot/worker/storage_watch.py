"""Whether pictures can be stored: a worker that cannot store any claims nothing until it can."""

from __future__ import annotations

import asyncio
import logging

from limner.bot.errors import StorageFailed
from limner.bot.storage.image_store import ImageStore

log = logging.getLogger(__name__)

TRY_SECONDS = 5.0
"""Seconds between two attempts to write where nothing could be written."""


class StorageWatch:
    """Remembers that a picture could not be stored, and tries to write as many bytes until that works."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._trouble: StorageFailed | None = None

    @property
    def trouble(self) -> str | None:
        """The code of what keeps pictures from being stored; None if nothing does."""
        return self._trouble.code if self._trouble else None

    def failed(self, error: StorageFailed) -> None:
        """A picture could not be stored."""
        log.error("storage_failed code=%s", error.code)
        self._trouble = error

    async def recovered(self) -> bool:
        """Whether something can be written again that could not be; blocks nobody."""
        if self._trouble is None:
            return False
        try:
            await asyncio.to_thread(self._images.try_to_write, self._trouble.needed)
        except StorageFailed as error:
            self._trouble = error
            return False
        log.info("storage_recovered code=%s", self._trouble.code)
        self._trouble = None
        return True
