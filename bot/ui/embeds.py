"""Embeds within Discord's limits for any content."""

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
    """An embed in which members' words are cut where they are too long.

    A field has a name, a value, and whether it stands in a row with others; empty ones are left out.
    """
    shown = [(name, cut(value, FIELD), inline) for name, value, inline in fields if value][:FIELDS]
    title, footer = cut(title, TITLE), cut(footer, FOOTER)
    room = EMBED - sum(map(length, (title, footer, *(name for name, _, _ in shown))))
    texts = [cut(description, DESCRIPTION), *(value for _, value, _ in shown)]
    each = share(texts, room)
    embed = discord.Embed(title=title or None, description=cut(texts[0], each) or None, colour=colour)
    for name, value, inline in shown:
        embed.add_field(name=name, value=cut(value, each), inline=inline)
    return embed.set_footer(text=footer) if footer else embed
