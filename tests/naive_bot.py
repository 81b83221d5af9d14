"""The bot that a weekend makes: it calls the pipeline in a thread of its own process. What Limner is compared with."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from tests.run_bot import use
from tests.tiny_models import stock_pipeline


class NaiveBot(discord.Client):
    """/imagine, deferred at once as Discord's manual says, one picture at a time."""

    def __init__(self, model: str, steps: int) -> None:
        super().__init__(intents=discord.Intents.none())
        self.tree = app_commands.CommandTree(self)
        self._pipe: Any = stock_pipeline(Path(model))
        self._steps = steps
        self._turn = asyncio.Lock()
        self.tree.command(name="imagine", description="Paint a picture.")(self.imagine)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def imagine(self, interaction: discord.Interaction[Any], prompt: str) -> None:
        await interaction.response.defer()
        async with self._turn:
            picture = await asyncio.to_thread(self._paint, prompt)
        await interaction.edit_original_response(content=prompt, attachments=[discord.File(picture, "picture.png")])

    def _paint(self, prompt: str) -> io.BytesIO:
        file = io.BytesIO()
        self._pipe(prompt, num_inference_steps=self._steps).images[0].save(file, "PNG")
        file.seek(0)
        return file


if __name__ == "__main__":
    use(sys.argv[1])
    NaiveBot(sys.argv[2], int(sys.argv[3])).run("token", log_handler=None)
