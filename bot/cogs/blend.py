"""/blend: two to five pictures become one."""

from __future__ import annotations

from functools import partial
from typing import Any

import discord
from discord import app_commands

from limner.bot import reference_actions
from limner.bot.options.ask import MAX_NAME, Ask
from limner.bot.posted_pictures import LINK
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import where, where_to_post
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.linked_references import with_linked_references
from limner.bot.ui.uploads import take_pictures

Interaction = discord.Interaction[Any]

PICTURE = "One of the pictures: PNG, JPEG, WebP, GIF or BMP"


class Blend(LimnerCog, name="Limner blend"):
    """Several pictures as references of one."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(
        **{f"image{number}": PICTURE for number in range(1, 6)}, prompt="What you want to see; flags count"
    )
    async def blend(
        self,
        interaction: Interaction,
        image1: discord.Attachment,
        image2: discord.Attachment,
        image3: discord.Attachment | None = None,
        image4: discord.Attachment | None = None,
        image5: discord.Attachment | None = None,
        prompt: str = "",
    ) -> None:
        """Paint one picture from two to five others, with or without words."""
        files = [one for one in (image1, image2, image3, image4, image5) if one]
        ask = Ask(
            text=prompt,
            image_name=", ".join(one.filename for one in files)[:MAX_NAME],
            is_spoiler=any(one.is_spoiler() for one in files),
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            where=where(interaction),
        )
        where_to_post(interaction)
        check = partial(reference_actions.check_blend, self.app, ask, len(files))
        ask = ask.saying(blend=",".join(await take_pictures(interaction, self.app, files, check)))
        if LINK.search(prompt):
            found = [await reference_actions.blended(self.app, ask)]
            ask = await with_linked_references(interaction, self.app, ask, found, check)
        job = await reference_actions.blend(self.app, ask)
        await post_placeholder(interaction, self.app, job)
