"""Settings of a server that are typed, in forms with the current values filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.server.choices import CHOICES
from limner.bot.cogs.server.controls import TYPED, choose
from limner.bot.cogs.server.screen import refresh
from limner.bot.errors import BadOption
from limner.bot.guild_settings import GuildSettings
from limner.bot.limits import CHOICE
from limner.bot.moderation.quotas import EVERYBODY, MEASURES, changed
from limner.bot.quantities import rounded
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NOT_OFFERED
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import managers_only, moderated
from limner.bot.ui.member_choices import find
from limner.bot.ui.typed import HEADINGS

Interaction = discord.Interaction[Any]

WHOLE = N_("“{label}” must be a whole number from {least} to {most}.")
SHARE = N_("“{label}” must be a number from 0 to 1, such as 0.3.")
EMPTY = N_("Empty: as the bot's operator has it.")
KEPT = N_("Empty: until somebody deletes them.")
UNLIMITED = N_("Empty: no limit.")
MOST_DAYS, MOST_USES = 3650, 1_000_000
MOST_STARS = 100


@dataclass(frozen=True)
class Number:
    """A setting that is a whole number within a range, or a share from 0 to 1."""

    least: int = 1
    most: int = MOST_DAYS
    is_share: bool = False
    #: What an empty field stands for, and its description; None: it must be filled.
    empty: tuple[int | None, str] | None = None


GROUPS: dict[str, tuple[str, dict[str, Number]]] = {
    "strikes": (
        N_("Review and strikes"),
        {
            "review_days": Number(most=365),
            "strike_days": Number(),
            "strike_limit": Number(least=0, most=100),
            "suspension_hours": Number(most=672),
            "evasion_minutes": Number(most=1440),
        },
    ),
    "limits": (
        N_("How explicit pictures may be"),
        {
            "explicit_limit": Number(is_share=True, empty=(None, EMPTY)),
            "explicit_limit_restricted": Number(is_share=True, empty=(None, EMPTY)),
        },
    ),
    "keeping": (
        N_("How long requests are kept"),
        {"keep_days": Number(empty=(0, KEPT)), "refused_days": Number(empty=(0, EMPTY))},
    ),
    "gallery": (N_("Gallery channel"), {"gallery_stars": Number(most=MOST_STARS)}),
}
"""The numbers of each form by their settings."""
PAGE_OF = {"strikes": "review", "limits": "painting", "keeping": "keeping", "gallery": "gallery"}


class NumbersForm(Form, kind="numbers"):
    """Asks for a group of numbers."""

    def __init__(self, group: str, settings: GuildSettings) -> None:
        title, self._numbers = GROUPS[group]
        super().__init__(_(title))
        self._group = group
        for name, number in self._numbers.items():
            value = getattr(settings, name)
            shown = "" if number.empty and value == number.empty[0] else rounded(value)
            self.ask(name, _(HEADINGS[name]), *_field(shown, number))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For members with Manage Server; the subject is the group's place."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        if subject >= len(GROUPS):
            raise BadOption(_(NOT_OFFERED))
        return cls([*GROUPS][subject], await app.guilds.get(guild_id))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save all numbers, or none."""
        values = {name: _read(name, number, self.text(name)) for name, number in self._numbers.items()}
        guild_id = await moderated(interaction, app)
        await app.guilds.change(guild_id, interaction.user.id, **values)
        await refresh(interaction, app, guild_id, PAGE_OF[self._group])


class ServerNameForm(Form, kind="servername"):
    """Asks for the style or model of requests that name none, where a list has no room for all."""

    def __init__(self, name: str, value: str) -> None:
        label = _(CHOICES[name].label)
        super().__init__(label)
        self._name = name
        field = discord.ui.TextInput[Any](required=False, max_length=CHOICE, default=value)
        self.ask("text", label, field, _("Empty: none of its own."))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For members with Manage Server; the subject is the setting's place."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        if subject >= len(TYPED):
            raise BadOption(_(NOT_OFFERED))
        choice = CHOICES[TYPED[subject]]
        settings = await app.guilds.get(guild_id)
        named = choice.offered(app, settings)[1:]
        chosen = next((one.label for one in named if one.value == choice.chosen(settings)), "")
        return cls(TYPED[subject], chosen)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save it."""
        guild_id = await moderated(interaction, app)
        offered = CHOICES[self._name].offered(app, await app.guilds.get(guild_id))
        await choose(interaction, app, guild_id, self._name, find(offered, self.text("text")).value)


class QuotaForm(Form, kind="quota"):
    """Asks for the limits of a role, or of everybody (the subject 0)."""

    def __init__(self, role: str, limits: Mapping[str, int]) -> None:
        super().__init__(_("Quota"))
        self._role = role
        for name in MEASURES:
            shown = str(limits[name]) if name in limits else ""
            self.ask(name, _(HEADINGS[name]), *_field(shown, QUOTA))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For members with Manage Server, about a role of the server."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        if subject and not (interaction.guild and interaction.guild.get_role(subject)):
            raise BadOption(_(NOT_OFFERED))
        key = str(subject) if subject else EVERYBODY
        return cls(key, (await app.guilds.get(guild_id)).quotas.get(key, {}))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save the limits; without any the role has no quota of its own."""
        read = {name: _read(name, QUOTA, self.text(name)) for name in MEASURES}
        limits = {name: value for name, value in read.items() if value is not None}
        guild_id = await moderated(interaction, app)
        quotas = changed(await app.guilds.get(guild_id), self._role, limits)
        await app.guilds.change(guild_id, interaction.user.id, quotas=quotas)
        await refresh(interaction, app, guild_id, "quotas")


QUOTA = Number(least=0, most=MOST_USES, empty=(None, UNLIMITED))


def _field(shown: str, number: Number) -> tuple[discord.ui.TextInput[Any], str | None]:
    field = discord.ui.TextInput[Any](default=shown, required=number.empty is None, max_length=12)
    return field, _(number.empty[1]) if number.empty else None


def _read(name: str, number: Number, typed: str) -> Any:
    """A typed number; raises BadOption for another text."""
    text, label = typed.strip(), _(HEADINGS[name])
    if not text and number.empty:
        return number.empty[0]
    if number.is_share:
        if not re.fullmatch(r"0?[.,][0-9]{1,4}|[01]([.,]0{1,4})?", text, re.ASCII):
            raise BadOption(_(SHARE, label=label))
        return float(text.replace(",", "."))
    if not (text.isascii() and text.isdigit() and number.least <= int(text) <= number.most):
        raise BadOption(_(WHOLE, label=label, least=number.least, most=number.most))
    return int(text)
