"""Lists of blocked pictures as files: perceptual hashes on each line, to share with servers, bots and platforms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from limner.bot.errors import BadOption
from limner.bot.limits import cut
from limner.bot.moderation.blocked_images import LONGEST_REMARK, ListedPicture
from limner.bot.quantities import decimal
from limner.bot.storage.tables.moderation_tables import BlockedPicture
from limner.bot.storage.tables.picture_hashes import PDQ_DIGITS, PHASH_DIGITS, PictureHashes
from limner.bot.translation import N_, _

MOST = 50_000
"""Pictures in one list."""
MOST_BYTES = MOST * 200
"""Bytes of a file: both hashes and a remark on each line."""
NAME = "blocked-pictures.txt"
NOT_A_HASH = N_(
    "Line {line} has no hash: each line of a list begins with a PDQ hash (64 digits from 0 to f), a pHash (16 digits) "
    "or both with a comma between them."
)
TOO_LONG = N_("That list has more than {most} hashes; split it, and leave out what is old.")
_PDQ, _PHASH = (rf"[0-9a-f]{{{digits}}}" for digits in (PDQ_DIGITS, PHASH_DIGITS))
_LINE = re.compile(rf"({_PDQ},{_PHASH}|{_PDQ}|{_PHASH})(?:[\s,;#]+(.*))?", re.IGNORECASE)


def read(data: bytes, name: str) -> list[ListedPicture]:
    """The pictures of a file, each once; empty lines and lines after # are comments.

    What follows the hashes on a line is the remark, otherwise the list's name is.

    Raises:
        BadOption: it is too long, or a line has no hash.
    """
    found = dict[PictureHashes, ListedPicture]()
    for number, line in enumerate(data[:MOST_BYTES].decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        hashed = _LINE.fullmatch(text)
        if not hashed:
            raise BadOption(_(NOT_A_HASH, line=number))
        hashes = PictureHashes.of_text(hashed[1].lower())
        found.setdefault(hashes, ListedPicture(hashes, remark(hashed[2] or "") or remark(name)))
    if len(found) > MOST or len(data) > MOST_BYTES:
        raise BadOption(_(TOO_LONG, most=decimal(MOST)))
    return [*found.values()]


def write(pictures: Iterable[BlockedPicture]) -> str:
    """A file that `read` reads again."""
    return "".join(f"{one.hashes} # {one.remark}".removesuffix(" # ") + "\n" for one in pictures)


def remark(text: str) -> str:
    """A text on one line, at most as long as a remark may be, without what separates it from the hashes."""
    words = "".join(one if one.isprintable() else " " for one in text).split()
    return cut(" ".join(words).lstrip(" ,;#"), LONGEST_REMARK)
