"""/models: what paints here, and what each model is like. The answer is private."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.model_pictures import ModelPictures
from limner.bot.options.ask import find_card
from limner.bot.options.suggestions import models
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import tell, where
from limner.bot.ui.listing import PAGE, Listing, listed, page_of, show_list
from limner.bot.ui.suggestions import choices, few_at_once
from limner.generators.cards.model_card import ModelCard

Interaction = discord.Interaction[Any]

TITLE = N_("Models that paint here")
MORE = N_("/models with a name shows one of them, with its example picture if there is one")
FILE = "example.webp"


class Models(LimnerCog, name="Limner models"):
    """What a member chooses from with `model`."""

    @app_commands.command(name="models")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(model="The model to read about, with its example picture")
    async def show(self, interaction: Interaction, model: str = "") -> None:
        """Show the models that paint here, or one of them with an example picture."""
        if not model:
            await show_list(interaction, self.app, "models")
            return
        card = find_card(self.app.settings, model)
        facts = await asyncio.to_thread(lambda: [*_facts(card)])
        embed, files = make_embed(card.title or card.name, "\n".join(facts)), list[discord.File]()
        limit = await self.app.image_policy.limit(where(interaction), is_from_picture=False)
        if data := await asyncio.to_thread(ModelPictures(self.app.settings).shown, card, limit):
            embed.set_image(url=f"attachment://{FILE}")
            files = [discord.File(io.BytesIO(data), FILE)]
        await tell(interaction, "", embed=embed, files=files)

    @show.autocomplete("model")
    @few_at_once
    async def _names(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        app = self.app
        return choices(models(app, app.settings.default_card, interaction.guild_id, str(typed)))


@listed("models")
async def _entries(_interaction: Interaction, app: App, _subject: int, number: int) -> Listing:
    cards = [*app.settings.offered.values()]
    number, pages = page_of(len(cards), number)
    shown = await asyncio.to_thread(lambda: [_line(card) for card in cards[(number - 1) * PAGE : number * PAGE]])
    return Listing(_(TITLE), shown, number, pages, note=_(MORE))


def _line(card: ModelCard) -> str:
    return " · ".join((f"**{_plain(card.name)}**", *_facts(card)))


def _facts(card: ModelCard) -> Iterator[str]:
    """What a model is like; blocks, as files of LoRAs are looked for."""
    if card.title and card.title != card.name:
        yield _plain(card.title)
    yield f"{card.width}x{card.height}"
    if card.edits:
        yield _("edits pictures by words")
    elif card.needs_picture:
        yield _("needs a picture")
    elif card.dialect == "tags" and card.max_added_words:
        yield _("reads tags")
    if card.trigger_words:
        yield _("words: {words}", words=_plain(card.trigger_words))
    if card.loras:
        yield _("LoRAs: {names}", names=_plain(", ".join(card.loras)))


def _plain(text: str) -> str:
    return discord.utils.escape_markdown(text)
