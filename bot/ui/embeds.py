"""Embeds that Discord takes whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable

import discord

from limner.bot.limits import DESCRIPTION, EMBED, FIELD, FIELDS, FOOTER, TITLE, cut, length, share


def make_embed(
    title: str = "",
    description: str = "",
    fields: Iterable[tuple[str, str, bool]] = (),
    *,
    footer: str = "",
    colour: discord.Colour | None = None,
) -> discord.Embed:
    """An embed in which people's words are cut where they are too long.

    Fields are a name of ours, a value, and whether several stand in a row; those without a value are left out.
    """
    told = [(name, cut(value, FIELD), inline) for name, value, inline in fields if value][:FIELDS]
    title, footer = cut(title, TITLE), cut(footer, FOOTER)
    room = EMBED - sum(map(length, (title, footer, *(name for name, _, _ in told))))
    texts = [cut(description, DESCRIPTION), *(value for _, value, _ in told)]
    each = share(texts, room)
    embed = discord.Embed(title=title or None, description=cut(texts[0], each) or None, colour=colour)
    for name, value, inline in told:
        embed.add_field(name=name, value=cut(value, each), inline=inline)
    return embed.set_footer(text=footer) if footer else embed
