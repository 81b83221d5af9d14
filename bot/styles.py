"""Style presets: a name in /imagine, words around the prompt."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self, cast

from limner.bot.errors import UnknownStyle
from limner.bot.limits import CHOICES, named
from limner.bot.translation import N_, _, commas, pgettext
from limner.generators.text_files import BadText, line_of, parse_toml, read_text

PLACE = "{prompt}"
STYLE = "style"
"""The context of the titles in the catalogues: a logo is another word elsewhere."""


@dataclass(frozen=True)
class Style:
    """Words around a prompt (at ``{prompt}``), and a negative prompt."""

    name: str
    title: str
    prompt: str = PLACE
    negative: str = ""

    @property
    def shown(self) -> str:
        """Its title in the current language; an operator's own title stays as it is."""
        return pgettext(STYLE, self.title)

    @property
    def text(self) -> str:
        """Its words that are painted, for the content filter; the negative prompt is checked as such."""
        return self.prompt.replace(PLACE, "").strip(" ,")


PLAIN = Style("", N_("No style"))
"""The style of a request that names none."""


class Styles:
    """The offered presets by name; ``problems`` has one sentence for each preset that is left out."""

    def __init__(self, presets: Mapping[str, Style], problems: Sequence[str] = ()) -> None:
        self.presets = dict(presets)
        self.problems = list(problems)

    def with_own(self, own: Mapping[str, Style]) -> Styles:
        """These and a server's own, which win over those of the same name."""
        return Styles({**own, **self.presets, **own}) if own else self

    @classmethod
    def load(cls, extra: str = "") -> Self:
        """The shipped presets, overridden by those of the operator's TOML file with the same name.

        A wrong entry is left out, an unreadable file only loses its own entries.
        """
        presets, problems = _shipped()
        if not extra:
            return cls(presets, problems)
        try:
            own, problems = _read(
                Path(extra).name, read_text(Path(extra), _("The styles file {name}", name=Path(extra).name))
            )
        except BadText as error:
            return cls(presets, [str(error)])
        return cls({**presets, **own}, problems)

    def find(self, name: str) -> Style:
        """The style with this name, however it is spaced and cased; an empty name is no style.

        Raises:
            UnknownStyle: with the names that come close.
        """
        key = named(name, self.presets) or style_key(name)
        if not key:
            return PLAIN
        if key not in self.presets:
            close = difflib.get_close_matches(key[:64], self.presets, n=3)
            raise UnknownStyle(
                _("That style is not known; did you mean {join}?", join=commas(close)) if close else None
            )
        return self.presets[key]

    def title(self, name: str) -> str:
        """A style's title in the current language; one that is not offered any more keeps its name."""
        return self.presets[name].shown if name in self.presets else name

    def search(self, typed: str) -> list[Style]:
        """Up to 25 styles for what is typed so far: those that begin with it, then those that contain it.

        If there are none, those that come close.
        """
        key = style_key(typed)[:64]
        known = [
            (style, (style.name, style_key(style.title), style_key(style.shown))) for style in self.presets.values()
        ]
        begins = [style for style, words in known if any(word.startswith(key) for word in words)]
        contains = [style for style, words in known if any(key in word for word in words)]
        found = list(dict.fromkeys([*begins, *contains]))[:CHOICES]
        return found or [self.presets[name] for name in difflib.get_close_matches(key, self.presets, n=5)]

    def own_negative(self, name: str, negative: str) -> str:
        """A request's negative prompt without its style's part."""
        return negative.removesuffix(self.find(name).negative).rstrip(", ")

    def apply(self, name: str, text: str) -> str:
        """The prompt in the style. Raises UnknownStyle."""
        return self.find(name).prompt.replace(PLACE, text)


def style_key(name: str) -> str:
    """A style's name as it is compared and stored: without case, spaces and underscores."""
    return "-".join(name.casefold().replace("_", " ").replace("-", " ").split())


@functools.cache
def _shipped() -> tuple[dict[str, Style], list[str]]:
    return _read("bot/styles.toml", resources.files("limner.bot").joinpath("styles.toml").read_text("utf-8"))


def _read(file: str, text: str) -> tuple[dict[str, Style], list[str]]:
    """The styles of a TOML text, and the problems of others; raises BadText if it is not TOML."""
    presets: dict[str, Style] = {}
    problems: list[str] = []
    for name, entry in parse_toml(text, _("The styles file {file}", file=file)).items():
        try:
            presets[style_key(name)] = _style(name, entry)
        except ValueError as error:
            problems.append(
                _(
                    "The style {name!r} in {file} (line {line_of}) {error}.",
                    name=name,
                    file=file,
                    line_of=line_of(text, name),
                    error=error,
                )
            )
    return presets, problems


def _style(name: str, entry: Any) -> Style:
    """One entry as a style; raises ValueError with the end of a sentence about it."""
    key = style_key(name)
    if not key or len(key) > 64:
        raise ValueError(_("needs a name of 1 to 64 characters"))
    values = cast(dict[str, str], entry)
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in cast(dict[str, Any], entry).values()):
        raise ValueError(_("must be a table of texts: title, prompt, negative"))
    if unknown := values.keys() - {"title", "prompt", "negative"}:
        raise ValueError(_("has {min!r}, which is none of title, prompt, negative", min=min(unknown)))
    if values.get("prompt", "").count(PLACE) != 1:
        raise ValueError(_("needs a prompt with {place} in it once", place=PLACE))
    if len(values.get("title", "")) > 100:
        raise ValueError(_("has a title of more than 100 characters, which Discord cannot show"))
    return Style(key, values.get("title") or name, values["prompt"], values.get("negative", ""))
