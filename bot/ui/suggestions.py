"""What is suggested while an option is typed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import discord
from discord import app_commands

from limner.bot.limits import CHOICE, CHOICES, cut, key
from limner.bot.ui.interactions import app_of, use_languages

Interaction = discord.Interaction[Any]
OwnerT = TypeVar("OwnerT")
ValueT = TypeVar("ValueT", str, int)
TypedT = TypeVar("TypedT")
Found = Callable[[OwnerT, Interaction, TypedT], Coroutine[Any, Any, list[app_commands.Choice[ValueT]]]]


def few_at_once(find: Found[OwnerT, TypedT, ValueT]) -> Found[OwnerT, TypedT, ValueT]:
    """An autocomplete that waits until no command and few other autocompletes are being answered."""

    @functools.wraps(find)
    async def answer(owner: OwnerT, interaction: Interaction, typed: TypedT, /) -> list[app_commands.Choice[ValueT]]:
        app = app_of(interaction.client)
        async with app.suggesting.suggestion():
            await use_languages(interaction, app)
            found = await find(owner, interaction, typed)
            await interaction.response.autocomplete(found)
        return found

    return answer


def choices(found: Iterable[tuple[str, ValueT]]) -> list[app_commands.Choice[ValueT]]:
    """Suggestions while something is typed: what is read, and what comes back (a name by its `limits.key`)."""
    made = list[app_commands.Choice[ValueT]]()
    for name, value in found:
        if len(made) == CHOICES:
            break
        made.append(app_commands.Choice(name=cut(name, CHOICE), value=key(value) if isinstance(value, str) else value))
    return made
