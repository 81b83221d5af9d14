"""The button Change it under an error message: opens the form with the text that was typed."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import NotFound
from limner.bot.ui.after_refusal import again_button
from limner.bot.ui.controls import NUMBER, ForAnyone
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import owned
from limner.bot.ui.typed import shown

Interaction = discord.Interaction[Any]


class AgainButton(
    ForAnyone[discord.ui.Button[Any]],
    template=rf"limner:again:(?P<kind>[a-z]{{1,20}}):(?P<subject>{NUMBER}):(?P<row>{NUMBER})",
):
    """Opens a form filled from the message, or from a refused request's row."""

    def __init__(self, kind: str, subject: int, row: int = 0) -> None:
        super().__init__(again_button(kind, subject, row))
        self.kind = kind
        self.subject = subject
        self.row = row

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["kind"], int(match["subject"]), int(match["row"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Open the form."""
        if self.kind not in Form.kinds:
            raise NotFound
        given = dict(shown(interaction.message)) if interaction.message else {}
        if self.row:
            given["text"] = (await owned(interaction, app, self.row)).idea
        await open_form(interaction, app, self.kind, self.subject, given)
