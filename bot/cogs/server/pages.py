"""The pages of /server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.settings import public_warning
from limner.bot.cogs.pictures import gallery_in_words
from limner.bot.cogs.server.choices import CHOICES, subjects
from limner.bot.cogs.server.controls import (
    ON_PAINTING,
    ON_REVIEW,
    AccessChannels,
    AccessRoles,
    GalleryPlace,
    ModeratorRoles,
    QuotaRole,
    ReviewPlace,
    ServerButton,
    ServerSelect,
    StyleSelect,
    SubjectSelect,
)
from limner.bot.cogs.server.screen import page, row
from limner.bot.guild_settings import GuildSettings
from limner.bot.limits import CHOICE, CONTENT, cut, first_lines
from limner.bot.limits import CHOICES as MOST
from limner.bot.moderation.access import Access
from limner.bot.moderation.quotas import EVERYBODY, MEASURES
from limner.bot.quantities import rounded
from limner.bot.server_styles import NAME_LENGTH, own_styles
from limner.bot.translation import N_, _, commas
from limner.bot.ui.job.job_messages import plain
from limner.bot.ui.member_choices import label_of
from limner.bot.ui.typed import HEADINGS

Item = discord.ui.Item[Any]
FIRST = "painting"
"""The page that the command shows."""
Guild = discord.Guild | None

ACCESS = N_("Choose what is meant, then the channels (or categories) and the roles for it. Nothing chosen: no limit.")
NO_QUOTA = N_("Nobody has a quota. A member whose roles have some has the most generous of them.")
NO_HOUSE_RULES = N_(
    "This server has no house rules. With some, each member accepts them once before asking for pictures here."
)
STYLES = N_("Styles that only this server offers, in /imagine and as its usual style. Its filter reads their words.")
SHOWN_PROMPT = 70
"""Characters of a style's words in the list."""
KEEPING = N_(
    "**Requests** {kept}\n**Refused requests** {refused}\n\nAn hourly sweep deletes older ones with their words and "
    "pictures, also favourites; posted messages stay. Everything goes {days} days after I have left this server."
)


@page("painting")
def _painting(app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    return [*_choices(app, settings, ON_PAINTING), row(ServerButton("limits"))]


@page("access")
def _access(app: App, settings: GuildSettings, _guild: Guild, subject: str) -> list[Item]:
    offered = subjects(app)
    lines = [_access_line(settings, label_of(offered, name), name) for name in settings.access]
    now = Access.of(settings, subject)
    return [
        discord.ui.TextDisplay("\n".join([_(ACCESS), *lines])[:CONTENT]),
        row(SubjectSelect.of(offered, subject)),
        row(AccessChannels(subject, now.channels)),
        row(AccessRoles(subject, now.roles)),
    ]


def _access_line(settings: GuildSettings, label: str, subject: str) -> str:
    now = Access.of(settings, subject)
    allowed = [f"<#{channel}>" for channel in now.channels] + [f"<@&{role}>" for role in now.roles]
    return f"**{label}** {commas(allowed)}"


@page("quotas")
def _quotas(_app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    lines = [_quota_line(role, limits) for role, limits in settings.quotas.items()]
    return [
        discord.ui.TextDisplay(first_lines(lines, CONTENT)[0] or _(NO_QUOTA)),
        row(ServerButton("everybody")),
        row(QuotaRole.of()),
    ]


def _quota_line(role: str, limits: Mapping[str, int]) -> str:
    who = _("Everybody") if role == EVERYBODY else f"<@&{role}>"
    return f"**{who}** " + commas(f"{_heading(name)} {limits[name]}" for name in MEASURES if name in limits)


@page("review")
def _review(app: App, settings: GuildSettings, guild: Guild, _subject: str) -> list[Item]:
    names = ("review_days", "strike_days", "strike_limit", "suspension_hours", "evasion_minutes")
    lines = [f"{_heading(name)} **{getattr(settings, name)}**" for name in names]
    warning = public_warning(guild, settings)
    return [
        discord.ui.TextDisplay(f"**{_('Review channel')}**\n{warning}".strip()),
        row(ReviewPlace.of(settings)),
        discord.ui.TextDisplay(_("**Moderators' roles**")),
        row(ModeratorRoles.of(settings)),
        *_choices(app, settings, ON_REVIEW),
        discord.ui.TextDisplay("\n".join(lines)),
        row(ServerButton("strikes")),
    ]


@page("rules")
def _rules(_app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    return [discord.ui.TextDisplay(settings.house_rules or _(NO_HOUSE_RULES)), row(ServerButton("rules"))]


@page("styles")
def _styles(_app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    styles = own_styles(settings)
    lines = [f"**{plain(one.title, NAME_LENGTH)}** {plain(one.prompt, SHOWN_PROMPT)}" for one in styles.values()]
    items: list[Item] = [discord.ui.TextDisplay("\n".join([_(STYLES), *lines])), row(ServerButton("styles"))]
    return items + [row(StyleSelect(verb, styles)) for verb in ("change", "remove") if styles]


@page("gallery")
def _gallery(_app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    return [
        discord.ui.TextDisplay(gallery_in_words(settings)),
        row(GalleryPlace.of(settings)),
        row(ServerButton("gallery")),
    ]


@page("keeping")
def _keeping(app: App, settings: GuildSettings, _guild: Guild, _subject: str) -> list[Item]:
    own = app.settings
    kept = _("for {days} days", days=settings.keep_days) if settings.keep_days else _("until somebody deletes them")
    refused = min(settings.refused_days or own.refused_days, own.refused_days)
    text = _(
        KEEPING, kept=kept, refused=_("for {days} days", days=rounded(refused)), days=rounded(own.left_server_days)
    )
    return [discord.ui.TextDisplay(text), row(ServerButton("keeping"))]


def _choices(app: App, settings: GuildSettings, names: Sequence[str]) -> list[Item]:
    """A list under each setting's name, or its value beside a button where a list has no room."""
    items: list[Item] = []
    for name in names:
        offered, value = CHOICES[name].offered(app, settings), CHOICES[name].chosen(settings)
        label = f"**{_(CHOICES[name].label)}**"
        if len(offered) > MOST:
            text = discord.ui.TextDisplay[Any](f"{label} {label_of(offered, value)}")
            items.append(discord.ui.Section(text, accessory=ServerButton(name)))
        else:
            options = [
                discord.SelectOption(label=cut(o.label, CHOICE), value=o.value, default=o.value == value)
                for o in offered
            ]
            items += [discord.ui.TextDisplay(label), row(ServerSelect(name, options))]
    return items


def _heading(name: str) -> str:
    """The heading of a number, with the colon of the language behind it."""
    return _("{heading}:", heading=_(HEADINGS[name]))
