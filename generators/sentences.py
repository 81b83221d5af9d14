"""English sentences that people read: the bot translates them where it shows them, by their words."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

translation: ContextVar[Callable[[str], str]] = ContextVar("translation", default=str)
"""Translates what is printed here; the command line sets it to the language of its terminal."""


def sentence(text: str, /, **values: Any) -> str:
    """A sentence for the bot's catalogues, with the values of its placeholders filled in."""
    return text.format(**values) if values else text


def shown(text: str) -> str:
    """A sentence in the language of who reads what is printed."""
    return translation.get()(text)
