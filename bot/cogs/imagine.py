"""/imagine: an idea becomes pictures."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import discord
from discord import AppCommandOptionType, app_commands

from limner.bot import submit
from limner.bot.errors import BadPicture
from limner.bot.limits import CONTENT, first_lines, named
from limner.bot.options.ask import Ask
from limner.bot.options.declarations import OPTIONS, PROMPT
from limner.bot.options.option import Option, OptionKind, Suggest
from limner.bot.options.several import read_each
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import app_of, tell, where, where_to_post
from limner.bot.ui.picture.given_pictures import ONE_PICTURE
from limner.bot.ui.request.asking import ask_to_paint, with_link
from limner.bot.ui.suggestions import choices, few_at_once
from limner.bot.ui.uploads import take_pictures

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice[str]
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])

NO_LISTS = N_("There are no lists here; moderators add them with /lists add, the operator in the folder `wildcards`.")
OFFERED = tuple(option for option in OPTIONS if option.in_command)
TYPES = {OptionKind.WHOLE: AppCommandOptionType.integer, OptionKind.NUMBER: AppCommandOptionType.number}


class OptionTransformer(app_commands.Transformer):
    """An option's type, range and menu for Discord."""

    def __init__(self, option: Option) -> None:
        self.option = option

    @property
    def type(self) -> AppCommandOptionType:
        """Numbers are numbers; what else there is is text."""
        return TYPES.get(self.option.kind, AppCommandOptionType.string)

    @property
    def min_value(self) -> float | None:
        """The least number."""
        return self.option.least if self.option.kind in TYPES else None

    @property
    def max_value(self) -> float | None:
        """The largest number; None where only the settings say one."""
        return self.option.most if self.option.kind in TYPES else None

    @property
    def choices(self) -> list[app_commands.Choice[str | int | float]] | None:
        """The menu."""
        return [app_commands.Choice(name=choice, value=choice) for choice in self.option.choices] or None

    async def transform(self, interaction: Interaction, value: Any, /) -> Any:
        """As it was given: it is read with the flags."""
        return value


class Suggested(OptionTransformer):
    """An option with autocomplete."""

    def __init__(self, option: Option, suggest: Suggest) -> None:
        super().__init__(option)
        self.suggest = suggest

    @few_at_once
    async def autocomplete(self, interaction: Interaction, value: Any, /) -> list[Choice]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the app has and the model that is chosen already can."""
        app = app_of(interaction.client)
        settings = app.settings
        model = named(getattr(interaction.namespace, "model", ""), settings.cards)
        card = settings.cards[model] if model else settings.default_card
        # In a thread, because LoRA files are read for their words.
        guild_id = interaction.guild_id
        return await asyncio.to_thread(lambda: choices(self.suggest(app, card, guild_id, str(value))))


def _annotation(option: Option) -> Any:
    return Suggested(option, option.suggest) if option.suggest else OptionTransformer(option)


def with_options(callback: CallbackT) -> CallbackT:
    """Add a command parameter for each option."""
    found: dict[str, Any] = {}
    for option in OFFERED:
        names = option.picture_names
        found |= dict.fromkeys(names, discord.Attachment) if names else {option.name: _annotation(option)}
    given = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in found.items()
    ]
    signature = inspect.signature(callback)
    named = [one for one in signature.parameters.values() if one.kind != inspect.Parameter.VAR_KEYWORD]
    callback.__signature__ = signature.replace(parameters=[*named, *given])
    helps = {name: option.help for option in OFFERED for name in option.picture_names or (option.name,)}
    return app_commands.describe(**helps)(callback)


def attachments(given: dict[str, Any]) -> dict[str, list[discord.Attachment]]:
    """The files of a command's options by the option's name, taken out of the options."""
    found = {option.name: [given.pop(name) for name in option.picture_names] for option in OFFERED}
    return {name: files for name, all_files in found.items() if (files := [one for one in all_files if one])}


class Imagine(LimnerCog, name="Limner imagine"):
    """The main command."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(prompt=PROMPT)
    @with_options
    async def imagine(self, interaction: Interaction, prompt: str, **given: Any) -> None:
        """Paint pictures from an idea."""
        image: discord.Attachment | None = given["image"]
        if image and given["link"]:
            raise BadPicture(_(ONE_PICTURE))
        pictures = attachments(given)
        ask = Ask(
            text=prompt,
            options={name: value for name, value in given.items() if value is not None},
            image_name=image.filename if image else "",
            is_spoiler=any(one.is_spoiler() for files in pictures.values() for one in files),
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            where=where(interaction),
        )
        unread = ask.saying(**{name: ",".join([submit.NOT_YET] * len(files)) for name, files in pictures.items()})
        unread = await submit.with_usual_options(self.app, unread)
        ask = replace(unread, options={name: value for name, value in unread.options.items() if name not in pictures})
        read = read_each(self.app, unread)
        is_private = any(new.is_private for new in read)
        if not is_private:
            where_to_post(interaction)  # refuses a channel where the pictures could not be posted
        if pictures:
            files = [one for files in pictures.values() for one in files]
            taken = iter(
                await take_pictures(
                    interaction, self.app, files, lambda: submit.check(self.app, unread), is_private=is_private
                )
            )
            ask = ask.saying(**{name: ",".join(next(taken) for _file in files) for name, files in pictures.items()})
        ask = await with_link(interaction, self.app, ask, is_private=is_private)
        with self.app.suggesting.command():
            await ask_to_paint(interaction, self.app, ask, read if ask == unread else ())

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def wildcards(self, interaction: Interaction) -> None:
        """Show the lists that __name__ in a prompt chooses from."""
        names = await self.app.wildcards.names(interaction.guild_id)
        shown = first_lines([f"`__{name}__`" for name in names], CONTENT)[0]
        await tell(interaction, shown or _(NO_LISTS))
