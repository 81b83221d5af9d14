"""Watches whether pictures can be stored; a worker that cannot store any claims nothing until it can."""

from __future__ import annotations

import asyncio
import logging

from limner.bot.errors import StorageFailed
from limner.bot.storage.pictures.image_store import ImageStore

log = logging.getLogger(__name__)

TRY_SECONDS = 5.0
"""Seconds between two attempts to write after a failure."""


class StorageWatch:
    """Remembers a failed write, and retries with as many bytes until it succeeds."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._trouble: StorageFailed | None = None

    @property
    def trouble(self) -> str | None:
        """The code of the storage failure; None if there is none."""
        return self._trouble.code if self._trouble else None

    def failed(self, error: StorageFailed) -> None:
        """Record that a picture could not be stored."""
        log.error("storage_failed code=%s", error.code)
        self._trouble = error

    async def recovered(self) -> bool:
        """Whether a test write succeeds after a failure; does not block."""
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
