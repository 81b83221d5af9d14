"""Files that members upload, and the three seconds that Discord waits for an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import discord

from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.ui.interactions import think

QUICK_SECONDS = 1.5
"""How long an upload may take before Discord is told that the answer takes longer."""
PATIENCE_SECONDS = 60.0

LOST = "Discord does not give me that picture now; try again in a moment."


async def take_picture(interaction: discord.Interaction[Any], app: App, attachment: discord.Attachment) -> str:
    """The hash of an uploaded picture, which is in the store now; raises BadPicture or StorageFull."""
    app.inputs.check_size(attachment.size)
    storing = asyncio.create_task(_store(app, attachment))
    done, _ = await asyncio.wait({storing}, timeout=QUICK_SECONDS)
    if not done:
        await think(interaction)
    return await storing


async def read_upload(attachment: discord.Attachment) -> bytes:
    """A file's bytes; raises BadPicture when Discord does not give them."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await attachment.read()
    except (discord.HTTPException, OSError, TimeoutError) as error:
        raise BadPicture(LOST) from error


async def _store(app: App, attachment: discord.Attachment) -> str:
    return await asyncio.to_thread(app.inputs.store, await read_upload(attachment))
