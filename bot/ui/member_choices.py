"""What members choose for all their requests: each choice with what it offers, what is chosen now, and its change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import some
from limner.bot.options.declarations import ASPECTS
from limner.bot.translation import N_, _, languages, ngettext, own_name
from limner.generators.cards.qualities import QUALITIES

UNCHOSEN = "-"
"""The value of what a member leaves to the server, or to the bot's operator."""
AS_SERVER = N_("As the server has it")
GONE = N_("{value} (not on offer any more)")
NO_SUCH = N_("“{text}” is not on offer; write one of: {names}.")
AS_DISCORD = N_("As in Discord")
AS_MODEL = N_("As the model has it")


@dataclass(frozen=True)
class Offered:
    """A value that can be chosen, and what it is called."""

    value: str
    label: str


def find(offered: Sequence[Offered], typed: str) -> Offered:
    """What was typed among what is offered, by its value or label; the first one for nothing.

    Raises:
        BadOption: it is not on offer.
    """
    key = typed.strip().casefold()
    found = next((one for one in offered if key in (one.label.casefold(), one.value.casefold())), None)
    if key and not found:
        raise BadOption(_(NO_SUCH, text=typed.strip(), names=some([one.label for one in offered[1:]])))
    return found or offered[0]


def label_of(offered: Sequence[Offered], value: str) -> str:
    """What a value is called; one that is not offered any more keeps its name."""
    return next((one.label for one in offered if one.value == value), _(GONE, value=value))


@dataclass(frozen=True)
class Choice:
    """One of a member's settings."""

    label: str
    offered: Callable[[App], Sequence[Offered]]
    #: The value that a member (by their id) has chosen.
    chosen: Callable[[App, int], Awaitable[str]]
    choose: Callable[[App, int, str], Awaitable[None]]


def _of_models(app: App) -> list[Offered]:
    able = [name for name, card in app.settings.offered.items() if not card.needs_picture]
    return [Offered(UNCHOSEN, _(AS_SERVER)), *(Offered(name, name) for name in able)]


def _of_styles(app: App) -> list[Offered]:
    styles = app.styles.presets.values()
    return [Offered(UNCHOSEN, _(AS_SERVER)), *(Offered(style.name, style.shown) for style in styles)]


def _of_aspects(_app: App) -> list[Offered]:
    return [Offered(UNCHOSEN, _(AS_MODEL)), *(Offered(aspect, aspect) for aspect in ASPECTS)]


def _of_counts(app: App) -> list[Offered]:
    most = app.settings.max_count
    numbers = range(1, most + 1)
    return [Offered(str(number), ngettext("1 picture", "{number} pictures", number)) for number in numbers]


def _of_qualities(_app: App) -> list[Offered]:
    return [Offered(name, name) for name in QUALITIES]


def _of_expansions(_app: App) -> list[Offered]:
    names = {
        UNCHOSEN: _(AS_SERVER),
        "on": _("Ideas are expanded"),
        "off": _("Ideas are painted as they are"),
        "preview": _("Expanded ideas are shown before they are painted"),
    }
    return [Offered(value, label) for value, label in names.items()]


def _of_two(no: str, yes: str, _app: App) -> list[Offered]:
    return [Offered("off", _(no)), Offered("on", _(yes))]


def of_languages(_app: App) -> list[Offered]:
    """The languages that the bot speaks, each in its own words."""
    return [Offered(UNCHOSEN, _(AS_DISCORD)), *(Offered(language, own_name(language)) for language in languages())]


async def _language(app: App, user_id: int) -> str:
    return (await app.members.usual(user_id)).language or UNCHOSEN


async def _choose_language(app: App, user_id: int, value: str) -> None:
    await app.members.choose_language(user_id, None if value == UNCHOSEN else value)


async def _usual(option: str, unchosen: str, app: App, user_id: int) -> str:
    return str((await app.members.usual(user_id)).options.get(option, unchosen))


async def _choose_usual(option: str, unchosen: str, app: App, user_id: int, value: str) -> None:
    await app.members.choose(user_id, option, "" if value == unchosen else value)


async def _expansion(app: App, user_id: int) -> str:
    return (await app.members.usual(user_id)).expand or UNCHOSEN


async def _choose_expansion(app: App, user_id: int, value: str) -> None:
    await app.members.choose_expand(user_id, None if value == UNCHOSEN else value)


async def _faces(app: App, user_id: int) -> str:
    return _switch(is_on=(await app.ratings.settings(user_id)).is_shown)


async def _choose_faces(app: App, user_id: int, value: str) -> None:
    now = await app.ratings.settings(user_id)
    await app.ratings.choose(user_id, is_shown=value == "on", is_training=now.is_training)


async def _training(app: App, user_id: int) -> str:
    return _switch(is_on=(await app.ratings.settings(user_id)).is_training)


async def _choose_training(app: App, user_id: int, value: str) -> None:
    now = await app.ratings.settings(user_id)
    await app.ratings.choose(user_id, is_shown=now.is_shown, is_training=value == "on")


async def _lending(app: App, user_id: int) -> str:
    return _switch(is_on=await app.members.lends_uploads(user_id))


async def _choose_lending(app: App, user_id: int, value: str) -> None:
    await app.members.choose_to_lend(user_id, lends=value == "on")


def _switch(*, is_on: bool) -> str:
    return "on" if is_on else "off"


def _option(label: str, option: str, offered: Callable[[App], Sequence[Offered]], unchosen: str = UNCHOSEN) -> Choice:
    return Choice(label, offered, partial(_usual, option, unchosen), partial(_choose_usual, option, unchosen))


def _pair(no: str, yes: str) -> Callable[[App], Sequence[Offered]]:
    return partial(_of_two, no, yes)


CHOICES = {
    "model": _option(N_("Model"), "model", _of_models),
    "style": _option(N_("Style"), "style", _of_styles),
    "aspect": _option(N_("Width to height"), "aspect", _of_aspects),
    "count": _option(N_("Pictures"), "count", _of_counts, "1"),
    "quality": _option(N_("Quality"), "quality", _of_qualities, "standard"),
    "expand": Choice(N_("Expansion"), _of_expansions, _expansion, _choose_expansion),
    "private": _option(
        N_("Answers"), "private", _pair(N_("Everybody in the channel sees them"), N_("Only I see them")), "off"
    ),
    "language": Choice(N_("Language"), of_languages, _language, _choose_language),
    "faces": Choice(
        N_("Ratings"), _pair(N_("No faces under my results"), N_("Two faces under my results")), _faces, _choose_faces
    ),
    "training": Choice(
        N_("Training"),
        _pair(N_("My ratings train nothing"), N_("My ratings may train models, with words and pictures")),
        _training,
        _choose_training,
    ),
    "uploads": Choice(
        N_("My uploads"),
        _pair(N_("Only I may start from pictures that I post"), N_("Others may start from pictures that I post")),
        _lending,
        _choose_lending,
    ),
}
"""Every choice by its name, in the order in which they are shown."""
