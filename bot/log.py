"""The log: our own events, and of libraries only what is wrong."""

from __future__ import annotations

import logging

from limner.bot.settings import Settings


def start_log(settings: Settings) -> None:
    """Our own events to stderr, of others only what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("limner").setLevel(settings.log_level)
