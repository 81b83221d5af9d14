"""/imagine as a form, filled with a refused command's options."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.ask import Ask
from limner.bot.errors import BadOption
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options import OPTIONS
from limner.bot.translation import N_, _, commas
from limner.bot.ui.asking import ask_to_paint
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import where_to_post

Interaction = discord.Interaction[Any]

NO_PICTURE = N_("A form takes no picture; take the line `image` out, or ask again with /imagine and attach it there.")
NO_OPTION = N_("The line “{line}” is no option; write one such as `count: 2`, of {names}.")


class ImagineForm(Form, kind="imagine"):
    """The words and options of a refused request."""

    def __init__(self) -> None:
        super().__init__(_("Imagine"))
        for name, label, is_required in (
            ("prompt", _("What you want to see"), True),
            ("negative", _("What you do not want to see"), False),
            ("options", _("Options, one on each line"), False),
        ):
            field = discord.ui.TextInput[Any](
                style=discord.TextStyle.paragraph, required=is_required, max_length=ANSWER_LENGTH
            )
            self.ask(name, label, field)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For anybody."""
        return cls()

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request like the command."""
        ask = Ask(
            text=self.text("prompt"),
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            options={"negative": self.text("negative"), **read_options(self.text("options"))},
            where=where_to_post(interaction),
        )
        await ask_to_paint(interaction, app, ask)


def read_options(text: str) -> dict[str, str]:
    """The options in lines such as ``count: 2``, by name; raises BadOption."""
    known = {option.name for option in OPTIONS} - {"negative"}
    options: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if name == "image":
            raise BadOption(_(NO_PICTURE))
        if not colon or name not in known:
            raise BadOption(_(NO_OPTION, line=line[:60], names=commas(sorted(known - {"image"}))))
        options[name] = value
    return options
