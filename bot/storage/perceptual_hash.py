"""Likeness: a short number for how a picture looks, which survives smaller copies, JPEG and other file formats."""

from __future__ import annotations

from PIL import Image, ImageStat

from limner.bot.errors import BadPicture

PLAIN = "That picture is too plain to be known again, so it cannot be blocked."
LEAST_CONTRAST = 4.0
"""Standard deviation of the grey values (0 to 255) below which all pictures look the same to the hash."""


def fingerprint(image: Image.Image) -> str:
    """The perceptual hash (pHash: signs of the lowest frequencies of a cosine transform) as 16 hexadecimal digits."""
    import imagehash  # loads scipy, which the bot's start must not wait for

    return str(imagehash.phash(image))


def distance(one: str, other: str) -> int:
    """In how many of 64 bits two fingerprints differ: 0 is the same picture, 32 has nothing to do with it."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def known_by(image: Image.Image) -> str:
    """The fingerprint of a picture that is to be known again; raises BadPicture if there is too little in it."""
    if ImageStat.Stat(image.convert("L")).stddev[0] < LEAST_CONTRAST:
        raise BadPicture(PLAIN)
    return fingerprint(image)
