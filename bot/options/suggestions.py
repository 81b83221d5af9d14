"""Suggestions for an option's value while a member types: from the app, the chosen model's card and the server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from limner.bot.server_styles import styles_at
from limner.bot.translation import _
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.trigger_words import trigger_words

if TYPE_CHECKING:
    from limner.bot.app import App


def styles(app: App, card: ModelCard, guild_id: int | None, typed: str) -> Iterable[tuple[str, str]]:
    """The styles with what is typed in their names."""
    return ((style.shown, style.name) for style in styles_at(app, guild_id).search(typed))


def models(app: App, card: ModelCard, guild_id: int | None, typed: str) -> Iterable[tuple[str, str]]:
    """The offered models whose name or title has what is typed, and what each one needs or reads."""
    for other in app.settings.offered.values():
        if typed.casefold() in f"{other.name} {other.title}".casefold():
            title = other.title or other.name
            if other.video:
                title = _("{model} (paints videos, by /animate)", model=title)
            elif other.edits:
                title = _("{model} (edits pictures by words)", model=title)
            elif other.needs_picture:
                title = _("{model} (needs a picture)", model=title)
            elif other.dialect == "tags" and other.max_added_words:
                title = _("{model} (reads tags)", model=title)
            if other.trigger_words:
                title = _("{lora} (words: {words})", lora=title, words=other.trigger_words)
            yield title, other.name


def loras(app: App, card: ModelCard, guild_id: int | None, typed: str) -> Iterable[tuple[str, str]]:
    """The LoRAs that begin so, with the words that they were trained with; those typed before stay."""
    before, comma, last = typed.rpartition(",")
    begun = f"{before}{comma} " if comma else ""
    for name, file in card.loras.items():
        if last.strip().casefold() in name.casefold():
            words = card.lora_words.get(name) or trigger_words(Path(file))
            yield begun + (_("{lora} (words: {words})", lora=name, words=words) if words else name), begun + name


def samplers(app: App, card: ModelCard, guild_id: int | None, typed: str) -> Iterable[tuple[str, str]]:
    """The model's samplers whose name has what is typed."""
    return ((name, name) for name in card.samplers if typed.casefold() in name)


def controls(app: App, card: ModelCard, guild_id: int | None, typed: str) -> Iterable[tuple[str, str]]:
    """The model's kinds of control that begin so; those typed before stay."""
    before, comma, last = typed.rpartition(",")
    begun = f"{before}{comma} " if comma else ""
    return ((begun + kind, begun + kind) for kind in card.controls if last.strip().casefold() in kind)
