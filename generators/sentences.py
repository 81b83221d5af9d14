"""English sentences that people read: the bot translates them where it shows them, by their words."""

from __future__ import annotations

from typing import Any


def sentence(text: str, /, **values: Any) -> str:
    """A sentence for the bot's catalogues, with the values of its placeholders filled in."""
    return text.format(**values) if values else text
