"""Pictures to start from: read with suspicion, stored as clean PNG files, known by what the eyes saw in them."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError
from sqlalchemy.dialects import postgresql, sqlite

from limner.bot.errors import BadPicture
from limner.bot.storage.db import Database
from limner.bot.storage.image_store import ImageStore
from limner.bot.storage.models import InputPicture, Seen

if TYPE_CHECKING:
    from limner.bot.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP")
LONGEST_SIDE = 2048
"""Pixels that are kept of the longer side; painters work with fewer."""
LONGEST_RATIO = 8

KIND = "That file is not a picture that can be used; choose a PNG, JPEG or WebP file."
BROKEN = "That picture file is broken or incomplete; open and save it again, or choose another one."
MOVING = "That picture is animated; choose one that stands still."
GONE = "Somebody removed the picture to start from; give it again."
NARROW = f"That picture is too narrow; neither side may be over {LONGEST_RATIO} times the other."
BYTES = "That picture file has over {most:.0f} MB; choose a smaller one."
PIXELS = "That picture has over {most:.0f} million pixels; choose a smaller one."


class Inputs:
    """The pictures that members give, each kept once by its content."""

    def __init__(self, database: Database, images: ImageStore, settings: Settings) -> None:
        self.database = database
        self._images = images
        self._settings = settings

    def check_size(self, size: int) -> None:
        """Refuse a file by its number of bytes, before it is downloaded; raises BadPicture."""
        if size > self._settings.max_input_bytes:
            raise BadPicture(BYTES.format(most=self._settings.max_input_bytes / 1e6))

    def store(self, data: bytes) -> str:
        """Read a picture file and write it as a clean PNG file, whose hash is returned; blocks.

        Raises:
            BadPicture: it cannot be used, and why, in one sentence.
            StorageFull: the disk is full.
        """
        self.check_size(len(data))
        file = io.BytesIO()
        read_picture(data, self._settings.max_input_pixels).save(file, "PNG")
        return self._images.save(file.getvalue())

    async def get(self, sha256: str) -> InputPicture | None:
        """What was seen in a picture; None if nobody has looked at it."""
        async with self.database.read() as session:
            return await session.get(InputPicture, sha256)

    async def keep(self, sha256: str, seen: Seen) -> InputPicture:
        """Write down what was seen in a picture, for all requests that start from it."""
        insert = (sqlite if self.database.is_sqlite else postgresql).insert(InputPicture)
        row = insert.values(sha256=sha256, **vars(seen))
        newest = row.on_conflict_do_update(index_elements=["sha256"], set_=vars(seen)).returning(InputPicture)
        async with self.database.begin() as session:
            return (await session.scalars(newest)).one()


def read_picture(data: bytes, most_pixels: int) -> Image.Image:
    """A picture file as an upright RGB picture of at most 2048 pixels a side; raises BadPicture with one sentence.

    The size is read before the pixels are, so a small file that unpacks to a huge picture costs nothing.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            _check(image, most_pixels)
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(_to_rgb(image))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadPicture(_why(error, most_pixels)) from error
    except (OSError, ValueError, SyntaxError, MemoryError) as error:  # what Pillow's readers raise for broken files
        raise BadPicture(BROKEN) from error
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return upright


def _check(image: Image.Image, most_pixels: int) -> None:
    if image.width * image.height > most_pixels:
        raise BadPicture(PIXELS.format(most=most_pixels / 1e6))
    if max(image.size) > LONGEST_RATIO * min(image.size):
        raise BadPicture(NARROW)
    if getattr(image, "is_animated", False):
        raise BadPicture(MOVING)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits for each of three colours; what is transparent becomes white, as Discord's light theme shows it."""
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion cuts off what is above 255
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")


def _why(error: Exception, most_pixels: int) -> str:
    return KIND if isinstance(error, UnidentifiedImageError) else PIXELS.format(most=most_pixels / 1e6)
