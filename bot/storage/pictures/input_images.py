"""Input pictures: validated, stored as clean PNG files, classified once per content."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql, sqlite

from limner.bot.errors import BadPicture
from limner.bot.storage.db import Database
from limner.bot.storage.pictures.decoder import LEAST_SHARE, PictureDecoder
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import InputPicture, Seen
from limner.bot.translation import N_, _
from limner.generators.image_canvas import covered, mask_of_cells
from limner.generators.image_files import encode_png

if TYPE_CHECKING:
    from limner.bot.settings import Settings

GONE = N_("Somebody removed the picture to start from; give it again.")
ONE_COLOUR = N_("That mask has one colour only; make it white where the reference counts, and black elsewhere.")
BYTES = N_("That picture file has over {most} MB; choose a smaller one.")


class Inputs:
    """The pictures that members upload as a start, each stored once by its content."""

    def __init__(self, database: Database, images: ImageStore, decoder: PictureDecoder, settings: Settings) -> None:
        self.database = database
        self._decoder = decoder
        self._images = images
        self._settings = settings

    def check_size(self, size: int) -> None:
        """Refuse a file by its number of bytes, before it is downloaded; raises BadPicture."""
        if size > self._settings.max_input_bytes:
            raise BadPicture(_(BYTES, most=round(self._settings.max_input_bytes / 1000000.0)))

    async def store(self, data: bytes) -> str:
        """Read a picture file and write it as a clean PNG file, whose hash is returned.

        A file that is in the store already, such as a downloaded picture, is taken as it is.

        Raises:
            BadPicture: it cannot be used, and why, in one sentence.
            StorageFailed: it cannot be written.
        """
        self.check_size(len(data))
        is_known = await asyncio.to_thread(self._images.holds, data)
        return await asyncio.to_thread(self._images.save, data if is_known else await self._decoder.clean(data))

    async def store_mask(self, data: bytes) -> str:
        """Read a mask's file and write it in black and white; raises as `store` does, and where it is of one colour."""
        self.check_size(len(data))
        return await asyncio.to_thread(self._images.save, await self._decoder.mask(data))

    async def check_mask(self, sha256: str) -> None:
        """Refuse a stored mask that says no place for a reference; raises BadPicture.

        One whose file is missing fails its request when it is painted, as every given picture does.
        """
        try:
            share = await asyncio.to_thread(lambda: covered(self._images.open(sha256)))
        except FileNotFoundError:
            return
        if not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            raise BadPicture(_(ONE_COLOUR))

    async def store_cells(self, cells: Iterable[str]) -> str:
        """Write the mask of some cells of a picture's grid."""
        return await asyncio.to_thread(lambda: self._images.save(encode_png(mask_of_cells(cells))))

    async def size(self, sha256: str) -> tuple[int, int]:
        """Width and height of a stored picture; raises BadPicture if its file is missing."""
        try:
            return await asyncio.to_thread(self._images.size, sha256)
        except FileNotFoundError as error:
            raise BadPicture(_(GONE)) from error

    async def get(self, sha256: str) -> InputPicture | None:
        """The classifier's result for a picture; None if it was not classified yet."""
        async with self.database.read() as session:
            return await session.get(InputPicture, sha256)

    async def keep(self, sha256: str, seen: Seen) -> InputPicture:
        """Store the classifier's result for a picture, for all requests that start from it."""
        insert = (sqlite if self.database.is_sqlite else postgresql).insert(InputPicture)
        row = insert.values(sha256=sha256, **vars(seen))
        newest = row.on_conflict_do_update(index_elements=["sha256"], set_=vars(seen)).returning(InputPicture)
        async with self.database.begin() as session:
            return (await session.scalars(newest)).one()
