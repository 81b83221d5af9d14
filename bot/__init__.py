"""Limner: an image studio inside Discord. `await client.load_extension("limner")` loads it into any discord.py bot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.bot.plugin import AnyBot


async def setup(bot: AnyBot) -> None:
    """Open the App from the environment's settings and add its commands to the bot."""
    from limner.bot.plugin import load

    await load(bot)


async def teardown(bot: AnyBot) -> None:
    """Stop everything that `setup` started: tasks, processes, commands and open files."""
    from limner.bot.plugin import unload

    await unload(bot)
