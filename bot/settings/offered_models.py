"""The cards of the operator's models, read once, and again when their files change."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from limner.bot.settings.fields import SettingFields
from limner.bot.settings.local_models import LocalModels, find_models
from limner.bot.settings.model_sources import card_of_server, card_with_files, loadable_here
from limner.bot.translation import _
from limner.generators.cards.model_card import DAMAGED, DAMAGED_WEIGHTS, UNLOADABLE, ImagesServer, ModelCard
from limner.generators.cards.model_files import downloaded, pipeline_on_hub
from limner.generators.cards.remote_card import addresses
from limner.generators.measured import Measured
from limner.generators.text_files import BadText


class _Read(NamedTuple):
    """Cards and faults, and of what they were read."""

    on_hub: frozenset[Any]
    cards: dict[str, ModelCard]
    broken: dict[str, str]


class OfferedModels:
    """The models that the settings name and those in the folder `models_dir`.

    Args:
        settings: what names them.
        english: names of models that read English only.
        compiled: names of models that are compiled.
    """

    def __init__(self, settings: SettingFields, english: Collection[str], compiled: Collection[str]) -> None:
        self._settings = settings
        self._english = english
        self._compiled = compiled
        self._local = find_models(settings.models, settings.models_dir)
        self._damaged = self._found_damaged()
        self._now: _Read | None = None

    @property
    def names(self) -> Collection[str]:
        """All names, also of models whose files cannot be read."""
        return self._local.sources.keys()

    @property
    def cards(self) -> dict[str, ModelCard]:
        """The card of each model, without models whose files cannot be read; of one that is gone the last."""
        return self._current.cards

    @property
    def broken(self) -> dict[str, str]:
        """One sentence for each model whose files cannot be read."""
        return self._current.broken

    def find(self) -> None:
        """Look at the files again, and read the cards if they have changed; blocks meanwhile, for a thread."""
        local = find_models(self._settings.models, self._settings.models_dir)
        damaged = self._found_damaged()
        if (local, damaged) != (self._local, self._damaged):
            self._local, self._damaged = local, damaged
            self._now = self._read(local, damaged, self._on_hub())

    @property
    def _current(self) -> _Read:
        """Read once more when more of a model of the hub has been downloaded."""
        on_hub = self._on_hub()
        if self._now is None or self._now.on_hub != on_hub:
            self._now = self._read(self._local, self._damaged, on_hub)
        return self._now

    def _on_hub(self) -> frozenset[Any]:
        if self._settings.servers_paint:
            return frozenset()
        sources = (source.partition("@")[0] for source in self._settings.models.values())
        on_hub = [source for source in sources if source.count("/") == 1 and not Path(source).exists()]
        return frozenset((source, downloaded(source) or pipeline_on_hub(source)) for source in on_hub)

    def _found_damaged(self) -> dict[str, str]:
        """The stamps of models whose weights were found damaged when a worker loaded them."""
        return Measured(self._settings.measured_file).all(DAMAGED)

    def _read(self, local: LocalModels, damaged: dict[str, str], on_hub: frozenset[Any]) -> _Read:
        found = _Read(on_hub, {}, dict(local.faults))
        for name, source in local.sources.items():
            try:
                card = self._card(name, source, local.stamps[name])
                is_damaged = damaged.get(card.origin) == card.stamp != ""
                found.cards[name] = replace(card, problem=DAMAGED_WEIGHTS) if is_damaged else card
            except BadText as error:
                found.broken[name] = str(error)
        before = self._now.cards if self._now else {}
        for name in before.keys() - found.cards.keys():  # requests in flight still need it
            found.cards[name] = replace(before[name], problem=UNLOADABLE)
        return found

    def _card(self, name: str, source: str, stamp: str) -> ModelCard:
        settings = self._settings
        if settings.servers_paint:
            server = ImagesServer(addresses(settings.images_url), settings.images_api_key, settings.images_timeout)
            return card_of_server(name, source, settings.data, settings.executor, server)
        more: dict[str, Any] = {"english_only": True} if name in self._english else {}
        more |= {"compile_cache": str(settings.compile_cache)} if name in self._compiled else {}
        more |= {"quantize": settings.quantize[name]} if name in settings.quantize else {}
        more |= {"attention": settings.attention[name]} if name in settings.attention else {}
        card = card_with_files(name, source, settings.data, stamp=stamp, **more)
        if card.quantize and card.kind != "diffusion":
            raise BadText(_("The model {model} keeps its weights as they are; take it out of `quantize`.", model=name))
        return loadable_here(card) if settings.executor == "local" and settings.workers > 0 else card
