"""A server's own styles: what its moderators add is checked, stored in its settings, and offered there only."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.guild_settings import GuildSettings
from limner.bot.place import Where
from limner.bot.styles import PLACE, Style, Styles, style_key
from limner.bot.translation import N_, _

if TYPE_CHECKING:
    from limner.bot.app import App

MOST = 25
"""Styles of one server, as many as a list of Discord's has room for."""
NAME_LENGTH, PROMPT_LENGTH, NEGATIVE_LENGTH = 32, 500, 300
"""Most characters of a style's name, its prompt and its negative prompt."""
NO_NAME = N_("A style's name needs a letter or a digit; write one.")
NO_PLACE = N_("“{label}” must have {place} in it once: there stands what a member asks for.")
FULL = N_("This server has {most} styles, which is the most; remove one of them first.")
FORBIDDEN = N_("The filter of this server does not let these words through, so the style is not saved.")
TAKEN = N_("This server has a style of that name already; choose another name, or change that style.")
GONE = N_("This server has no such style any more.")


def styles_at(app: App, guild_id: int | None) -> Styles:
    """The styles that a server offers, with its own; outside servers the bot's.

    The server's are those that this process read last: every interaction, and the worker for every job, reads them.
    """
    return app.styles.with_own(own_styles(app.guilds.known(guild_id))) if guild_id else app.styles


def own_styles(settings: GuildSettings) -> dict[str, Style]:
    """A server's own styles by name, in the order in which they were added."""
    return {name: Style(name, **values) for name, values in settings.own_styles.items()}


def number_of(name: str) -> int:
    """A number from 1 that says which style a form is about, whatever becomes of the others meanwhile."""
    return 1 + zlib.crc32(name.encode())


async def changed(app: App, guild_id: int, old: str, title: str, prompt: str, negative: str) -> dict[str, Any]:
    """The settings to change so that the server has a style of these words in place of the one called ``old``.

    ``old`` is empty for a new one.

    Raises:
        BadOption: the words cannot be a style, the filter does not let them through, another style has the name, or
            there are too many styles.
    """
    name, prompt, negative = style_key(title), " ".join(prompt.split()), " ".join(negative.split())
    if not any(map(str.isalnum, name)):
        raise BadOption(_(NO_NAME))
    if prompt.count(PLACE) != 1:
        raise BadOption(_(NO_PLACE, label=_("Words around the prompt"), place=PLACE))
    style = Style(name, " ".join(title.split()), prompt, negative)
    verdict = await app.filters.check(
        Where(guild_id), {"style": f"{style.title}\n{style.text}", "negative": negative}, paints_negative=True
    )
    if verdict.refusal:
        raise BadOption(_(FORBIDDEN))
    styles = (await app.guilds.get(guild_id)).own_styles
    if name != old and name in styles:
        raise BadOption(_(TAKEN))
    if old not in styles and len(styles) >= MOST:
        raise BadOption(_(FULL, most=MOST))
    kept = {name if one == old else one: values for one, values in styles.items()}
    return {"own_styles": kept | {name: {"title": style.title, "prompt": prompt, "negative": negative}}}


def removed(settings: GuildSettings, name: str) -> dict[str, Any]:
    """The settings to change so that the server has a style no more; raises BadOption if it has none of that name."""
    if name not in settings.own_styles:
        raise BadOption(_(GONE))
    kept: Mapping[str, Mapping[str, str]] = {one: values for one, values in settings.own_styles.items() if one != name}
    return {"own_styles": kept}
