"""/imagine: an idea becomes pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot import submit
from limner.bot.ask import LEAST_STRENGTH, MOST_UPSCALE, Ask
from limner.bot.flags import ASPECTS
from limner.bot.limits import named
from limner.bot.ui.interactions import LimnerCog, where_to_post
from limner.bot.ui.job_buttons import post_placeholder
from limner.bot.ui.listing import choices
from limner.bot.ui.uploads import take_picture
from limner.generators.base import SEEDS, ModelCard

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice[str]


class Imagine(LimnerCog, name="Limner imagine"):
    """The main command."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(
        prompt="What you want to see",
        negative="What you do not want to see",
        aspect="Width to height",
        count="How many pictures",
        seed="The same request with the same seed gives the same picture",
        steps="Denoising steps: more take longer",
        guidance="How closely the picture follows the prompt",
        style="A preset that is added to your prompt",
        model="Which model paints",
        lora="A LoRA that the model wears, perhaps with its weight: ink, ink:0.7",
        upscale="How many times as wide and high the finished pictures are",
        image="A picture to start from: PNG, JPEG, WebP, GIF or BMP",
        strength="How much of that picture may change, up to 1",
        expand="Let a language model add details; preview shows them to you first",
    )
    @app_commands.choices(aspect=[app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS])
    async def imagine(
        self,
        interaction: Interaction,
        prompt: str,
        negative: str = "",
        aspect: str = "",
        count: app_commands.Range[int, 1, 4] = 1,
        seed: app_commands.Range[int, 0, SEEDS - 1] | None = None,
        steps: app_commands.Range[int, 1, None] | None = None,
        guidance: app_commands.Range[float, 0, 30] | None = None,
        style: str = "",
        model: str = "",
        lora: str = "",
        upscale: app_commands.Range[int, 1, MOST_UPSCALE] = 1,
        image: discord.Attachment | None = None,
        strength: app_commands.Range[float, LEAST_STRENGTH, 1.0] | None = None,
        expand: Literal["on", "off", "preview"] = "on",
    ) -> None:
        """Paint pictures from an idea."""
        here = where_to_post(interaction)
        ask = Ask(
            text=prompt,
            negative=negative,
            aspect=aspect,
            count=count,
            seed=seed,
            steps=steps,
            guidance=guidance,
            style=style,
            model=model,
            lora=lora,
            upscale=upscale,
            expand=expand,
            image_name=image.filename if image else "",
            is_spoiler=image is not None and image.is_spoiler(),
            strength=strength,
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            where=here,
        )
        if image:
            taken = await take_picture(interaction, self.app, image, lambda: submit.check(self.app, ask))
            ask = replace(ask, image=taken)
        await post_placeholder(interaction, self.app, await submit.imagine(self.app, ask))

    @imagine.autocomplete("style")
    async def _find_style(self, _: Interaction, typed: str) -> list[Choice]:
        found = self.app.styles.search(typed)
        return choices((style.title, style.name) for style in found)

    @imagine.autocomplete("model")
    async def _find_model(self, _: Interaction, typed: str) -> list[Choice]:
        cards = self.app.settings.offered.values()
        found = [card for card in cards if typed.casefold() in f"{card.name} {card.title}".casefold()]
        return choices((_name(card), card.name) for card in found)

    @imagine.autocomplete("lora")
    async def _find_lora(self, interaction: Interaction, typed: str) -> list[Choice]:
        """Those of the model that is chosen already."""
        settings = self.app.settings
        model = named(getattr(interaction.namespace, "model", ""), settings.cards)
        card = settings.cards[model] if model else settings.default_card
        found = [name for name in card.loras if typed.casefold() in name.casefold()]
        return choices((name, name) for name in found)


def _name(card: ModelCard) -> str:
    return (card.title or card.name) + (" (needs a picture)" if card.needs_picture else "")
