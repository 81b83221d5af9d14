"""/imagine as a form: what was typed into the command and refused, to be changed and asked for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.ask import Ask
from limner.bot.errors import BadOption
from limner.bot.translation import N_, _, commas
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import where_to_post
from limner.bot.ui.job_buttons import ANSWER_LENGTH, post_placeholder

Interaction = discord.Interaction[Any]

OPTIONS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("aspect", "style", "model", "lora", "expand"), str),
    **dict.fromkeys(("count", "seed", "steps", "upscale"), int),
    **dict.fromkeys(("guidance", "strength"), lambda text: float(text.replace(",", "."))),
}
"""The options of /imagine that one writes as lines, and how each is read."""
NO_PICTURE = N_("A form takes no picture; take the line `image` out, or ask again with /imagine and attach it there.")
NO_OPTION = N_("The line “{line}” is no option; write one such as `count: 2`, of {names}.")
NO_NUMBER = N_("The option {name} must be a number, such as `{name}: 2`.")


class ImagineForm(Form, kind="imagine"):
    """The words and options of a request that was not accepted."""

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
        """Ask for it, as the command does."""
        ask = Ask(
            text=self.text("prompt"),
            negative=self.text("negative"),
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            **read_options(self.text("options")),
            where=where_to_post(interaction),
        )
        await post_placeholder(interaction, app, await submit.imagine(app, ask))


def read_options(text: str) -> dict[str, Any]:
    """The options of `Ask` that lines such as ``count: 2`` say; raises BadOption."""
    options: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if name == "image":
            raise BadOption(_(NO_PICTURE))
        if not colon or name not in OPTIONS:
            raise BadOption(_(NO_OPTION, line=line[:60], names=commas(OPTIONS)))
        try:
            options[name] = OPTIONS[name](value)
        except ValueError as error:
            raise BadOption(_(NO_NUMBER, name=name)) from error
    return options
