"""The cards as they are at each look-up, and the task that looks for new and changed models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from limner.bot.settings.settings import Settings
from limner.generators.cards.model_card import ModelCard

LOOK_SECONDS = 15.0
"""Interval at which models are looked for."""


class CurrentCards(Mapping[str, ModelCard]):
    """The cards of all models by name; another one once a model's files have changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getitem__(self, name: str) -> ModelCard:
        return self._settings.cards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings.cards)

    def __len__(self) -> int:
        return len(self._settings.cards)


async def keep_looking(settings: Settings) -> None:
    """Look for new and changed models until the task is cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await asyncio.to_thread(settings.find_models)
