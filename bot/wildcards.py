"""Wildcards: `__animal__` in a prompt stands for a line of the list animal, which an operator or a moderator gave."""

from __future__ import annotations

import asyncio
import difflib
import random
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from limner.bot.errors import BadPrompt
from limner.bot.limits import some
from limner.bot.storage.wildcard_lists import WildcardLists
from limner.bot.translation import N_, _
from limner.generators.text_files import BadText, decode, split_lines

FOLDER = "wildcards"
"""In the data folder: NAME.txt for everybody, and SERVER_ID/NAME.txt for one server."""
MOST_LISTS = 500
MOST_BYTES = 2**20
MOST_LINES = 10_000
LONGEST = 300
"""Lists in a folder, bytes and lines of a list, and characters of a line; what is more is not read."""
UNKNOWN = N_("There is no list {name} for __{name}__; {offered}.")
NO_NAME = N_("A list's name has letters, digits, - and _, at most 32 of them.")
NO_LINES = N_("There is no line in that file that can be chosen.")
TOO_MANY_LINES = N_("A list may have at most {most} lines; divide it into several.")
MOST_GIVEN_BYTES, MOST_GIVEN_LINES = 128 * 1024, 2000
"""Bytes of a file and lines of a list that a moderator gives."""
EMPTY = N_("The list {name} has no line that can be read; the operator can mend its file.")

_NAME = r"[^\W_](?:[\w-]{0,30}[^\W_])?"
_WILDCARD = re.compile(rf"(?<!\w)__(?P<name>{_NAME})__(?!\w)")


class Wildcards:
    """The lists in a folder and those that moderators gave, read at the moment of the look-up.

    A server's moderators' list replaces the operator's of the same name.
    """

    def __init__(self, folder: Path, given: WildcardLists) -> None:
        self._folder = folder
        self.given = given

    async def names(self, guild_id: int | None) -> list[str]:
        """The names of the lists that a server can use; outside servers those for everybody."""
        given = await self.given.names(guild_id) if guild_id else []
        return sorted({*await asyncio.to_thread(self._files, guild_id), *given})

    async def fill(self, text: str, guild_id: int | None, seed: int) -> tuple[str, list[tuple[str, str]]]:
        """The text with a line for each wildcard, and what was chosen; the same seed chooses the same.

        Raises:
            BadPrompt: a list is missing or empty.
        """
        named = {match["name"].casefold() for match in _WILDCARD.finditer(text)}
        if not named:
            return text, []
        given = await self.given.lines(guild_id, named) if guild_id else {}
        return await asyncio.to_thread(self._fill, text, guild_id, seed, given)

    def _fill(
        self, text: str, guild_id: int | None, seed: int, given: Mapping[str, list[str]]
    ) -> tuple[str, list[tuple[str, str]]]:
        files, read = self._files(guild_id), dict(given)
        chosen: list[tuple[str, str]] = []

        def choose(match: re.Match[str]) -> str:
            name = match["name"].casefold()
            read[name] = read.get(name) or _lines(name, files)
            line = random.Random(f"{seed}:{len(chosen)}:{name}").choice(read[name])
            chosen.append((name, line))
            return line

        return _WILDCARD.sub(choose, text), chosen

    def _files(self, guild_id: int | None) -> dict[str, Path]:
        """The files by name; a server's own replaces the one for everybody."""
        folders = [self._folder, *([self._folder / str(guild_id)] if guild_id else [])]
        found = (path for folder in folders for path in islice(sorted(folder.glob("*.txt")), MOST_LISTS))
        return {path.stem.casefold(): path for path in found if re.fullmatch(_NAME, path.stem)}


def read_name(text: str) -> str:
    """The name of a list as it is stored; raises BadPrompt if it is none."""
    name = text.strip().strip("_").casefold()
    if not re.fullmatch(_NAME, name):
        raise BadPrompt(_(NO_NAME))
    return name


def read_lines(text: str) -> list[str]:
    """The lines of a moderator's file that can be chosen; raises BadPrompt for none, or too many."""
    lines = _choices(split_lines(text))
    if not lines:
        raise BadPrompt(_(NO_LINES))
    if len(lines) > MOST_GIVEN_LINES:
        raise BadPrompt(_(TOO_MANY_LINES, most=MOST_GIVEN_LINES))
    return lines


def _choices(lines: Iterable[str]) -> list[str]:
    """Lines without comments (#), empty ones, and those with wildcards."""
    found = (" ".join(line.split()) for line in lines)
    return [line[:LONGEST] for line in found if line and not line.startswith("#") and not _WILDCARD.search(line)]


def _lines(name: str, files: Mapping[str, Path]) -> list[str]:
    """The lines of an operator's list that can be chosen."""
    if name not in files:
        close = difflib.get_close_matches(name, files, n=1)
        if close:
            offered = _("what comes nearest is {name}", name=close[0])
        else:
            offered = _("choose one of: {names}", names=some(files)) if files else _("write the words themselves")
        raise BadPrompt(_(UNKNOWN, name=name, offered=offered))
    try:
        size = files[name].stat().st_size
        text = decode(files[name].read_bytes(), name) if size <= MOST_BYTES else ""
    except (OSError, BadText):
        text = ""
    lines = _choices(split_lines(text)[:MOST_LINES])
    if not lines:
        raise BadPrompt(_(EMPTY, name=name))
    return lines
