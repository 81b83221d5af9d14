"""Limner: an image studio inside Discord. `await client.load_extension("limner")` loads it into any discord.py bot."""

from limner.bot import setup, teardown

__all__ = ["setup", "teardown"]
