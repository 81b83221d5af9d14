"""An option of /imagine: its syntax, its texts, its range, and how a value is read and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.options.fields import Field
from limner.bot.posted_pictures import LINK, NAMED
from limner.bot.translation import N_, _
from limner.generators.cards.model_card import ModelCard

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings


class OptionKind(StrEnum):
    """The type of an option's value, named by its placeholder in help texts."""

    RATIO = "W:H"
    SIZE = "WxH"
    WHOLE = "N"
    NUMBER = "X"
    NAME = "NAME"
    WORDS = "TEXT"
    PICTURE = "FILE"
    LINK = "LINK"
    BARE = ""


NUMERIC = (OptionKind.RATIO, OptionKind.SIZE, OptionKind.WHOLE, OptionKind.NUMBER)
WANTED = {
    OptionKind.RATIO: N_("a width and a height"),
    OptionKind.SIZE: N_("a width and a height in pixels"),
    OptionKind.WHOLE: N_("a whole number"),
    OptionKind.NUMBER: N_("a number"),
    OptionKind.NAME: N_("a name"),
    OptionKind.WORDS: N_("words"),
    OptionKind.PICTURE: N_("a picture of mine by its request and number, or the link of a message with one"),
}
_PAIR = {
    OptionKind.RATIO: re.compile(r"(\d{1,9})[:：](\d{1,9})"),
    OptionKind.SIZE: re.compile(r"(\d{1,9})[x×](\d{1,9})"),
}
_DECIMAL = re.compile(r"\d{1,3}([.,]\d{1,6})?")

Suggest = Callable[["App", ModelCard, int | None, str], Iterable[tuple[str, str]]]
"""Suggestions for a partial value, with their labels, from the app, the chosen model's card and the server."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its syntax, its place in a request, and its texts."""

    #: In the slash command (with ``in_command``), in `limner imagine` and in forms.
    name: str
    #: One phrase of at most 100 characters, for Discord, the terminal and docs/members.md.
    help: str
    kind: OptionKind
    #: The place in a request that stores it.
    kept: Field
    #: Its names in the prompt, without hyphens.
    flags: tuple[str, ...] = ()
    #: Flags that stand alone, with the value that each one means.
    bare: Mapping[str, str] = field(default_factory=dict[str, str])
    in_command: bool = True
    #: The expected value and an example, for the error about a wrong one.
    wanted: str = ""
    example: str = ""
    #: Its name in the sentence about its range; numbers run from ``least`` to ``most``, or to what the settings allow.
    noun: str = ""
    least: float = 0
    most: float | None = None
    limit: Callable[[Settings], float] | None = None
    #: Discord's menu; names can have no other value.
    choices: tuple[str, ...] = ()
    suggest: Suggest | None = None
    #: How many pictures it may have in the slash command and on the command line.
    most_pictures: int = 1
    #: Why a model does not support it, in a sentence; empty if it does.
    cannot: Callable[[ModelCard], str] | None = None
    #: Whether its value is made for one model, so that a remix with another model begins with that one's own.
    is_of_model: bool = False
    #: Its label under Details and in a PNG file's parameters; empty: not shown.
    label: str = ""
    key: str = ""

    @property
    def picture_names(self) -> tuple[str, ...]:
        """Its names in the slash command if it takes pictures, one for each: control, control2."""
        numbers = range(2, self.most_pictures + 1) if self.in_command else ()
        return (self.name, *(f"{self.name}{number}" for number in numbers)) if self.kind == OptionKind.PICTURE else ()

    def read(self, given: Any) -> Any:
        """The value of typed or chosen text; None for empty. Raises BadOption."""
        if not isinstance(given, str):
            return given
        if not given:
            return None
        value = self.parse(given)
        if value is None:
            raise BadOption(_("The option {option} needs {what}.", option=self.name, what=self.needs()))
        return value

    def parse(self, text: str) -> Any:
        """The value of a text; None if the text is not valid."""
        if self.kind in (OptionKind.NAME, OptionKind.WORDS, OptionKind.PICTURE, OptionKind.LINK):
            return text if text and (not self.choices or text in self.choices) else None
        if self.kind in _PAIR:
            sides = _PAIR[self.kind].fullmatch(text)
            pair = (int(sides[1]), int(sides[2])) if sides else (0, 0)
            return pair if min(pair) else None
        if self.kind == OptionKind.NUMBER:
            return float(text.replace(",", ".")) if _DECIMAL.fullmatch(text) else None
        return int(text) if text.isdecimal() and len(text) <= 20 else None

    def parse_typed(self, text: str) -> Any:
        """The same for what a member types, which names a picture only as a posted one: 12-1, or a message's link."""
        named = (NAMED.fullmatch(part) or LINK.fullmatch(part) for part in text.split(","))
        if self.kind == OptionKind.PICTURE and not all(named):
            return None
        return self.parse(text)

    def write(self, value: Any) -> str:
        """The text of a value, as `parse` reads it."""
        if self.kind in _PAIR:
            return f"{value[0]}{':' if self.kind == OptionKind.RATIO else 'x'}{value[1]}"
        return f"{value:.9g}" if self.kind == OptionKind.NUMBER else str(value)

    def show(self, value: Any) -> str:
        """The text of a value for a reader: a choice in the current language."""
        written = self.write(value)
        return _(written) if written in self.choices else written

    def needs(self, before: str = "") -> str:
        """The expected value, with an example after ``before``, which may be a flag."""
        return _(
            "{what}, such as {example}", what=_(self.wanted or WANTED[self.kind]), example=f"{before}{self.example}"
        )

    def check(self, value: Any, settings: Settings, card: ModelCard) -> None:
        """Raise BadOption if a value is out of range or the model does not support the option."""
        if self.cannot and (why := self.cannot(card)):
            raise BadOption(why)
        most = self.limit(settings) if self.limit else self.most
        if most is not None and not self.least <= value <= most:
            raise BadOption(
                _("The {what} must be from {least} to {most}.", what=_(self.noun), least=self.least, most=most)
            )
