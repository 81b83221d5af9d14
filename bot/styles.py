"""Style presets: a name in /imagine, words around the prompt."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self, cast

from bot.errors import SetupError, UnknownStyle

PLACE = "{prompt}"
CHOICES = 25
"""Suggestions that Discord shows while somebody types."""


@dataclass(frozen=True)
class Style:
    """Words that are put around a prompt (at ``{prompt}``), and words that are not wanted with them."""

    name: str
    title: str
    prompt: str = PLACE
    negative: str = ""

    @property
    def text(self) -> str:
        """All its own words: what the content filter reads."""
        return f"{self.prompt.replace(PLACE, '')}, {self.negative}".strip(" ,")


PLAIN = Style("", "No style")
"""The style of a request that names none; it changes nothing."""


class Styles:
    """The presets on offer, by name."""

    def __init__(self, presets: Mapping[str, Style]) -> None:
        self.presets = dict(presets)

    @classmethod
    def load(cls, extra: str = "") -> Self:
        """The shipped presets, and over them those of the owner's TOML file (the same name replaces).

        Raises:
            SetupError: the file cannot be read, or which of its entries is wrong, and how.
        """
        presets = _read("bot/styles.toml", resources.files("bot").joinpath("styles.toml").read_bytes())
        return cls({**presets, **_read_file(Path(extra))} if extra else presets)

    def find(self, name: str) -> Style:
        """The style with this name, however it is spaced and cased; an empty name is no style.

        Raises:
            UnknownStyle: with the names that come close.
        """
        key = _key(name)
        if not key:
            return PLAIN
        if key not in self.presets:
            close = difflib.get_close_matches(key[:64], self.presets, n=3)
            raise UnknownStyle(f"That style is not known; did you mean {' or '.join(close)}?" if close else None)
        return self.presets[key]

    def search(self, typed: str) -> list[Style]:
        """Up to 25 styles for what is typed so far: those that begin with it, contain it, or come close."""
        key = _key(typed)[:64]
        named = {style.name: (style.name, _key(style.title)) for style in self.presets.values()}
        begins = [name for name, words in named.items() if any(word.startswith(key) for word in words)]
        contains = [name for name, words in named.items() if any(key in word for word in words)]
        close = difflib.get_close_matches(key, named, n=5)
        return [self.presets[name] for name in dict.fromkeys([*begins, *contains, *close])][:CHOICES]

    def apply(self, name: str, text: str) -> str:
        """The text in the style: what the painter reads. Raises UnknownStyle."""
        return self.find(name).prompt.replace(PLACE, text)


def _key(name: str) -> str:
    return "-".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _read_file(path: Path) -> dict[str, Style]:
    try:
        return _read(path.name, path.read_bytes())
    except OSError as error:
        raise SetupError(f"The styles file {path.name} cannot be read: {error.strerror}.") from error


def _read(file: str, content: bytes) -> dict[str, Style]:
    try:
        entries = tomllib.loads(content.decode())
    except ValueError as error:
        raise SetupError(f"The styles file {file} is not valid TOML: {error}.") from error
    return {_key(name): _style(file, name, entry) for name, entry in entries.items()}


def _style(file: str, name: str, entry: Any) -> Style:
    where = f"The style {name!r} in {file}"
    key = _key(name)
    if not key or len(key) > 64:
        raise SetupError(f"{where} needs a name of 1 to 64 characters.")
    values = cast(dict[str, str], entry)
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in cast(dict[str, Any], entry).values()):
        raise SetupError(f"{where} must be a table of texts: title, prompt, negative.")
    if unknown := values.keys() - {"title", "prompt", "negative"}:
        raise SetupError(f"{where} has {min(unknown)!r}, which is none of title, prompt, negative.")
    if values.get("prompt", "").count(PLACE) != 1:
        raise SetupError(f"{where} needs a prompt with {PLACE} in it once.")
    if len(values.get("title", "")) > 100:
        raise SetupError(f"{where} has a title of more than 100 characters, which Discord cannot show.")
    return Style(key, values.get("title") or name, values["prompt"], values.get("negative", ""))
