"""An operator's settings."""

from limner.bot.settings.settings import Settings

__all__ = ["Settings"]
