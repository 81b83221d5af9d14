"""Perceptual hash: a short code of a picture's appearance that survives scaling, JPEG and other formats."""

from __future__ import annotations

from PIL import Image, ImageStat

from limner.bot.errors import BadPicture
from limner.bot.translation import N_, _

PLAIN = N_("That picture is too plain to be known again, so it cannot be blocked.")
LEAST_CONTRAST = 4.0
"""Standard deviation of grey values (0 to 255) below which all pictures get the same hash."""


def fingerprint(image: Image.Image) -> str:
    """The perceptual hash (pHash: signs of the lowest frequencies of a cosine transform) as 16 hexadecimal digits."""
    import imagehash  # imports scipy, which would delay the bot's start

    return str(imagehash.phash(image))


def distance(one: str, other: str) -> int:
    """Hamming distance of two 64-bit fingerprints: 0 is the same picture, about 32 an unrelated one."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def known_by(image: Image.Image) -> str:
    """The fingerprint of a picture to recognise later; raises BadPicture if it has too little contrast."""
    if ImageStat.Stat(image.convert("L")).stddev[0] < LEAST_CONTRAST:
        raise BadPicture(_(PLAIN))
    return fingerprint(image)
