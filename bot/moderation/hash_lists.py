"""Lists of blocked pictures as files: one perceptual hash on each line, to share between servers and bots."""

from __future__ import annotations

import re
from collections.abc import Iterable

from limner.bot.errors import BadOption
from limner.bot.quantities import decimal
from limner.bot.translation import N_, _

MOST = 50_000
"""Hashes in one list."""
MOST_BYTES = MOST * 80
"""Bytes of a file: a hash and a short remark on each line."""
NAME = "blocked-pictures.txt"
NOT_A_HASH = N_(
    "Line {line} has no hash: a list has a perceptual hash of 16 digits from 0 to f on each line, as an export does."
)
TOO_LONG = N_("That list has more than {most} hashes; split it, and leave out what is old.")
_LINE = re.compile(r"([0-9a-f]{16})(?:[\s,;#].*)?", re.IGNORECASE)


def read(data: bytes) -> list[str]:
    """The hashes of a file, each once; what follows one on its line, empty lines and lines after # are remarks.

    Raises:
        BadOption: it is too long, or a line has no hash.
    """
    found = dict[str, None]()
    for number, line in enumerate(data[:MOST_BYTES].decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        hashed = _LINE.fullmatch(text)
        if not hashed:
            raise BadOption(_(NOT_A_HASH, line=number))
        found[hashed[1].lower()] = None
    if len(found) > MOST or len(data) > MOST_BYTES:
        raise BadOption(_(TOO_LONG, most=decimal(MOST)))
    return [*found]


def write(hashes: Iterable[str]) -> str:
    """A file that `read` reads again."""
    return "".join(f"{one}\n" for one in hashes)
