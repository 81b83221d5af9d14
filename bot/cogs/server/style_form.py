"""The form of one of a server's own styles."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.server.screen import refresh
from limner.bot.errors import BadOption
from limner.bot.server_styles import GONE, NAME_LENGTH, NEGATIVE_LENGTH, PROMPT_LENGTH, changed, number_of, own_styles
from limner.bot.styles import PLACE, Style
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form, paragraph
from limner.bot.ui.interactions import managers_only, moderated
from limner.bot.ui.typed import HEADINGS

Interaction = discord.Interaction[Any]

NEW = Style("", "", f"{PLACE}, ")
AROUND = N_("{place} stands for what a member asks for.")


class ServerStyleForm(Form, kind="serverstyle"):
    """Asks for a style's name and words; the subject is its number (`number_of`), or 0 for a new one."""

    def __init__(self, style: Style) -> None:
        super().__init__(style.title or _("Add a style"))
        self._old = style.name
        self.ask("title", _(HEADINGS["title"]), discord.ui.TextInput(default=style.title, max_length=NAME_LENGTH))
        words = paragraph(style.prompt, PROMPT_LENGTH)
        self.ask("around", _(HEADINGS["around"]), words, _(AROUND, place=PLACE))
        negative = paragraph(style.negative, NEGATIVE_LENGTH, required=False)
        self.ask("style_negative", _(HEADINGS["style_negative"]), negative)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For members with Manage Server."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        styles = own_styles(await app.guilds.get(guild_id)).values()
        numbered = {0: NEW} | {number_of(style.name): style for style in styles}
        if subject not in numbered:
            raise BadOption(_(GONE))
        return cls(numbered[subject])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save the style."""
        guild_id = await moderated(interaction, app)
        texts = (self.text(name) for name in ("title", "around", "style_negative"))
        await app.guilds.change(guild_id, interaction.user.id, **await changed(app, guild_id, self._old, *texts))
        await refresh(interaction, app, guild_id, "styles")
