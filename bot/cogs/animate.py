"""/animate: pictures or prompts become an animation."""

from __future__ import annotations

from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot.animations import (
    ONE_KIND,
    USUAL_FRAMES,
    Motion,
    Movement,
    animate_pictures,
    animate_prompts,
    named_pictures,
)
from limner.bot.errors import BadOption
from limner.bot.options.ask import Ask
from limner.bot.picture_actions import Asker
from limner.bot.translation import _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import where, where_to_post
from limner.bot.ui.job.job_buttons import post_placeholder

Interaction = discord.Interaction[Any]


class Animate(LimnerCog, name="Limner animate"):
    """Animations, frame by frame."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(
        prompts="Two to six prompts with | between them, or one for a video by --model; flags count for all",
        pictures="Pictures of mine by request and number, such as 12-1 15-2, all of one model and size",
        motion="loop: back to the first; ping-pong: the same way back; pulse: around one picture",
        frames="How many pictures are painted, 8 to 48",
        private="Show the answer to you alone: here, or in a direct message if it takes long",
    )
    async def animate(
        self,
        interaction: Interaction,
        prompts: str = "",
        pictures: str = "",
        motion: Literal["loop", "ping-pong", "pulse"] = "loop",
        frames: int = USUAL_FRAMES,
        *,
        private: bool = False,
    ) -> None:
        """Paint an animation that goes through several pictures or prompts."""
        if bool(prompts.strip()) == bool(pictures.strip()):
            raise BadOption(_(ONE_KIND))
        wanted, user, locale = Movement(Motion(motion), frames), interaction.user.id, str(interaction.locale)
        place = where(interaction) if private else where_to_post(interaction)
        if prompts.strip():
            options = {"private": "on"} if private else {}
            ask = Ask(text=prompts, options=options, user_id=user, locale=locale, where=place)
            job = await animate_prompts(self.app, ask, wanted)
        else:
            asker = Asker(user, locale, place)
            found = await named_pictures(self.app, pictures, asker)
            job = await animate_pictures(self.app, found, asker, wanted, is_private=private)
        await post_placeholder(interaction, self.app, job)
