"""/upscale and /enhance: a member's file or a posted picture, larger or adjusted; nothing is painted."""

from __future__ import annotations

from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot import file_actions, picture_actions
from limner.bot.app import App
from limner.bot.translation import N_
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.given_pictures import GivenPicture, PostedPicture, ask_about, given
from limner.bot.ui.picture.picture_buttons import asker
from limner.generators.requests import ADJUSTMENTS

Interaction = discord.Interaction[Any]

PICTURE = N_("The picture: PNG, JPEG, WebP, GIF or BMP")
LINK = N_("Or a message's link, perhaps with the picture's number, or a member's mention for their avatar")
ADJUSTMENT = N_("All does the first four, in this order; the last three are for drawings, by a network")


class Improve(LimnerCog, name="Limner improve"):
    """What is made of a picture without a model."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(picture=PICTURE, link=LINK, times="How many times as wide and high")
    async def upscale(
        self,
        interaction: Interaction,
        picture: discord.Attachment | None = None,
        link: str | None = None,
        times: Literal[2, 4] = 2,
    ) -> None:
        """Make a picture larger."""
        await upscale(interaction, self.app, await given(interaction, self.app, picture, link), times)

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(picture=PICTURE, link=LINK, adjustment=ADJUSTMENT)
    async def enhance(
        self,
        interaction: Interaction,
        picture: discord.Attachment | None = None,
        link: str | None = None,
        adjustment: Literal[
            "all",
            "denoise",
            "contrast",
            "colour",
            "sharpen",
            "denoise-drawing",
            "deblur-drawing",
            "double-drawing",
        ] = "all",
    ) -> None:
        """Remove noise from a picture, and adjust its contrast, colour and sharpness."""
        names = ADJUSTMENTS if adjustment == "all" else (adjustment,)
        await enhance(interaction, self.app, await given(interaction, self.app, picture, link), names)


async def upscale(interaction: Interaction, app: App, picture: GivenPicture, times: int = 2) -> None:
    """Submit a request to upscale a picture, for the interaction's member."""
    if isinstance(picture, PostedPicture):
        job = await picture_actions.upscale(app, picture.job, picture.number, asker(interaction), times=times)
    else:
        job = await file_actions.upscale(app, await ask_about(interaction, app, picture), times=times)
    await post_placeholder(interaction, app, job)


async def enhance(
    interaction: Interaction, app: App, picture: GivenPicture, names: tuple[str, ...] = ADJUSTMENTS
) -> None:
    """Submit a request to adjust a picture, for the interaction's member."""
    if isinstance(picture, PostedPicture):
        job = await picture_actions.adjust(app, picture.job, picture.number, asker(interaction), names=names)
    else:
        job = await file_actions.adjust(app, await ask_about(interaction, app, picture), names=names)
    await post_placeholder(interaction, app, job)
