"""Packs: short lists of words that many servers do not want, by language; each is switched on like a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from limner.bot.errors import BadRule
from limner.bot.translation import N_, _, commas
from limner.generators.text_files import read_toml

TITLES = {
    "sexual": N_("Sexual content"),
    "gore": N_("Gore and torture"),
    "hate": N_("Hate and slurs"),
    "self-harm": N_("Self-harm"),
    "minors": N_("Safety of minors"),
}
LANGUAGES = (
    N_("Chinese"),
    N_("English"),
    N_("French"),
    N_("German"),
    N_("Japanese"),
    N_("Portuguese"),
    N_("Russian"),
    N_("Spanish"),
)
"""What the files of packs call their languages."""


@dataclass(frozen=True)
class Pack:
    """Keywords in one language about one subject, with the reason shown to members."""

    name: str
    language: str
    title: str
    reason: str
    terms: tuple[str, ...]


@cache
def every() -> Mapping[str, Pack]:
    """All packs by their names, such as gore-en."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return {pack.name: pack for file in files for pack in _read(file)}


def find(name: str) -> Pack:
    """One pack; raises BadRule if there is none of that name."""
    pack = every().get(name)
    if pack is None:
        raise BadRule(_("There is no pack with that name; the packs are {names}.", names=commas(every())))
    return pack


def _read(file: Path) -> list[Pack]:
    whole = read_toml(file)
    language = whole.pop("language")
    return [
        Pack(f"{subject}-{file.stem}", language, TITLES[subject], table["reason"], tuple(table["terms"]))
        for subject, table in whole.items()
    ]
