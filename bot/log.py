"""Logging: our own events, and warnings of libraries."""

from __future__ import annotations

import logging

from limner.bot.settings import Settings


def start_log(settings: Settings) -> None:
    """Log our own events to stderr, and only warnings of libraries."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("limner").setLevel(settings.log_level)
