"""Settings of a server that are chosen from a list: what each offers, what is chosen now, and what changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from limner.bot.app import App
from limner.bot.guild_settings import GuildSettings, OnEvasion
from limner.bot.moderation.access import EVERYTHING, OF_MODEL
from limner.bot.reasons import JobKind
from limner.bot.server_styles import own_styles
from limner.bot.translation import N_, _
from limner.bot.ui.member_choices import UNCHOSEN, Offered, of_languages

AS_OPERATOR = N_("As the bot's operator has it")
OF_RESULTS = N_("Members who let models be trained are asked about {share} of 100 results")
SHARES = (10, 25, 50, 100)
LONGEST_SUBJECT = 70
"""Characters of a subject that a select's id has room for."""


@dataclass(frozen=True)
class ServerChoice:
    """One of a server's settings."""

    label: str
    offered: Callable[[App, GuildSettings], Sequence[Offered]]
    chosen: Callable[[GuildSettings], str]
    #: The settings to change, by name.
    changes: Callable[[GuildSettings, str], dict[str, Any]]


def _of_models(app: App, _settings: GuildSettings) -> list[Offered]:
    able = [name for name, card in app.settings.offered.items() if not card.needs_picture]
    return [Offered(UNCHOSEN, _(AS_OPERATOR)), *(Offered(name, name) for name in able)]


def _of_styles(app: App, settings: GuildSettings) -> list[Offered]:
    styles = app.styles.with_own(own_styles(settings)).presets.values()
    return [Offered(UNCHOSEN, _("No style")), *(Offered(one.name, one.shown) for one in styles)]


def _of_languages(app: App, _settings: GuildSettings) -> list[Offered]:
    return of_languages(app)


def _named(names: dict[str, str], _app: App, _settings: GuildSettings) -> list[Offered]:
    return [Offered(value, _(label)) for value, label in names.items()]


def _usual(option: str, settings: GuildSettings) -> str:
    return settings.usual_options.get(option, UNCHOSEN)


def _usual_changes(option: str, settings: GuildSettings, value: str) -> dict[str, Any]:
    others = {name: kept for name, kept in settings.usual_options.items() if name != option}
    return {"usual_options": others | ({} if value == UNCHOSEN else {option: value})}


def _switch(label: str, setting: str, no: str, yes: str) -> ServerChoice:
    return ServerChoice(
        label,
        partial(_named, {"off": no, "on": yes}),
        lambda settings: "on" if getattr(settings, setting) else "off",
        lambda _settings, value: {setting: value == "on"},
    )


def _one_of(label: str, setting: str, names: dict[str, str]) -> ServerChoice:
    return ServerChoice(
        label,
        partial(_named, names),
        lambda settings: str(getattr(settings, setting)),
        lambda _settings, value: {setting: value},
    )


CHOICES = {
    "model": ServerChoice(N_("Model"), _of_models, partial(_usual, "model"), partial(_usual_changes, "model")),
    "style": ServerChoice(N_("Style"), _of_styles, partial(_usual, "style"), partial(_usual_changes, "style")),
    "expand": _one_of(
        N_("Expansion"),
        "expand",
        {
            "on": N_("Ideas are expanded"),
            "off": N_("Ideas are painted as they are"),
            "preview": N_("Expanded ideas are shown before they are painted"),
        },
    ),
    "language": ServerChoice(
        N_("Language of public messages"),
        _of_languages,
        lambda settings: settings.language or UNCHOSEN,
        lambda _settings, value: {"language": "" if value == UNCHOSEN else value},
    ),
    "sharing": _switch(
        N_("Posted pictures"),
        "shares_pictures",
        N_("Only their owner makes something of them"),
        N_("Everybody who sees them may make something of them"),
    ),
    "signing": _switch(
        N_("Signed pictures"),
        "signs_prompts",
        N_("Without the words in their manifest"),
        N_("With the words in their manifest"),
    ),
    "comparing": ServerChoice(
        N_("Which of two pictures is better"),
        lambda _app, _settings: [
            Offered(UNCHOSEN, _(AS_OPERATOR)),
            Offered("0", _("Nobody is asked")),
            *(Offered(str(share), _(OF_RESULTS, share=share)) for share in SHARES),
        ],
        lambda settings: UNCHOSEN if settings.compared_share is None else str(settings.compared_share),
        lambda _settings, value: {"compared_share": None if value == UNCHOSEN else int(value)},
    ),
    "negative": _switch(
        N_("Negative prompts"),
        "checks_negative_prompts",
        N_("Words that are not wanted may be anything"),
        N_("Words that are not wanted obey the rules too"),
    ),
    "evasion": _one_of(
        N_("Refused ideas in another spelling"),
        "evasion",
        {
            OnEvasion.OFF: N_("Are not looked for"),
            OnEvasion.FLAG: N_("Go to a moderator"),
            OnEvasion.STRIKE: N_("Go to a moderator and bring a strike"),
        },
    ),
    "blur": _switch(
        N_("Pictures on review cards"),
        "blurs_cards",
        N_("Are hidden behind a click"),
        N_("Are blurred, with a button that shows them"),
    ),
    "timeout": _switch(
        N_("Suspended members"),
        "times_out",
        N_("May write here, and not paint"),
        N_("Are timed out on Discord too"),
    ),
}
"""Every choice by its name."""


def subjects(app: App) -> list[Offered]:
    """What channels and roles can be chosen for: everything, a kind of request, or a model."""
    kinds = {
        EVERYTHING: N_("Everything"),
        JobKind.PAINT: N_("Painting"),
        JobKind.DESCRIBE: N_("Describing pictures"),
        JobKind.FINISH: N_("Upscaling and adjusting pictures"),
        JobKind.EXPLAIN: N_("Explaining pictures"),
    }
    models = [name for name in app.settings.cards if len(OF_MODEL + name) <= LONGEST_SUBJECT]
    named = [Offered(value, _(label)) for value, label in kinds.items()]
    return [*named, *(Offered(f"{OF_MODEL}{name}", _("The model {model}", model=name)) for name in models)]
