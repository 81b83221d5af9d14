"""Perceptual hashes: short codes of a picture's appearance that survive scaling, JPEG and other formats."""

from __future__ import annotations

from PIL import Image, ImageStat

from limner.bot.errors import BadPicture
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _

PLAIN = N_("That picture is too plain to be known again, so it cannot be blocked.")
LEAST_CONTRAST = 4.0
"""Standard deviation of grey values (0 to 255) below which all pictures get the same pHash."""


def fingerprint(image: Image.Image) -> PictureHashes:
    """A picture's perceptual hashes."""
    # Their libraries would delay the bot's start, and the opening of every picture.
    import imagehash

    from limner.bot.storage.pictures.pdq import LEAST_QUALITY, pdq

    found, quality = pdq(image)
    return PictureHashes(str(imagehash.phash(image)), found if quality >= LEAST_QUALITY else None)


def known_by(image: Image.Image) -> PictureHashes:
    """The hashes of a picture to recognise later; raises BadPicture if it has too little contrast."""
    if ImageStat.Stat(image.convert("L")).stddev[0] < LEAST_CONTRAST:
        raise BadPicture(_(PLAIN))
    return fingerprint(image)
