"""The settings of this process: read once, never at import, checked, with what follows from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from limner.bot.errors import SetupError
from limner.bot.provenance.signing import FOLDER, Signing
from limner.bot.settings.checks import check_devices, check_models, check_values, encryption_key, weights
from limner.bot.settings.fields import SHIPPED_SEGMENTATION, SettingFields, setting_names
from limner.bot.settings.model_sources import model_source
from limner.bot.settings.offered_models import OfferedModels
from limner.bot.settings.sources import convert, read_environment, read_file, to_text
from limner.bot.translation import _
from limner.generators.cards.model_card import ModelCard
from limner.generators.installed import safety_classifiers

ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", **dict.fromkeys(("postgres", "postgresql"), "postgresql+asyncpg")}


@dataclass(frozen=True, kw_only=True)
class Settings(SettingFields):
    """All of an operator's settings, and what follows from them.

    Each field ``x`` is read from the environment variable ``LIMNER_X``, else from ``x`` in ``limner.toml`` in the data
    folder, else it has its default.
    """

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Read the environment and the settings file; what is ``given`` (not None) wins over both."""
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in given.items() if value is not None}
        data = Path(given.get("data") or environ.get("LIMNER_DATA") or cls.data)
        values = {**read_file(data / "limner.toml"), **read_environment(environ), **given, "data": data}
        settings = cls(**{name: convert(name, value) for name, value in values.items()})
        settings.check()
        return settings

    def environment(self) -> dict[str, str]:
        """The variables that make `load` return these settings in another process; the token stays here."""
        return {
            f"LIMNER_{name.upper()}": to_text(getattr(self, name))
            for name in setting_names()
            if name not in ("token", "data")
        } | {"LIMNER_DATA": str(self.data.resolve())}

    def check(self) -> None:
        """Refuse values that could not work, each in one sentence."""
        check_values(self)
        _read = self.safety_classifier_entry
        check_devices(self.devices)
        check_models(self, self._english, self._compiled, self._offered_models.names)
        _read = self.weights_of_servers, self.weights_of_roles, self.encryption_keys

    @cached_property
    def devices(self) -> list[str]:
        """The devices of this machine that are to be used; ``["auto"]`` stands for the best that are there."""
        return [name.strip() for name in self.device.split(",") if name.strip()]

    @property
    def most_samples(self) -> int | None:
        """`max_batch` as a number; None for auto."""
        return None if self.max_batch == "auto" else int(self.max_batch)

    @cached_property
    def encryption_keys(self) -> list[bytes]:
        """The keys of `encryption_key`, the one to encrypt under first; raises SetupError if they are none."""
        return [encryption_key(text) for text in self.encryption_key.split()]

    @property
    def signing(self) -> Signing:
        """Where the operator's certificate and its key are, or would be."""
        folder = self.data / FOLDER
        certificate = Path(self.signing_certificate or folder / "certificate.pem")
        return Signing(certificate, Path(self.signing_key or folder / "key.pem"), self.time_stamp_authority)

    @property
    def says_ai(self) -> bool:
        """Whether messages and alt texts say that AI generated a picture."""
        return self.ai_label == "on"

    @property
    def mark_key(self) -> Path:
        """The file with the key of the invisible mark."""
        return self.data / "watermark.key"

    @property
    def trustmark_folder(self) -> Path | None:
        """The folder of TrustMark's networks, which may be missing there; None without the setting."""
        return Path(self.trustmark) if self.trustmark else None

    @cached_property
    def image_text_source(self) -> str:
        """The image-text model's folder or hub name."""
        return model_source(self.image_text_model)

    @cached_property
    def segmentation_source(self) -> str:
        """The segmentation model's folder or hub name."""
        return model_source(self.segmentation_model)

    @cached_property
    def restoration_source(self) -> str:
        """The restoration model's folder."""
        return model_source(self.restoration_model)

    def finds_parts(self, card: ModelCard) -> bool:
        """Whether words may name a part of a model's pictures; what ships knows the try-out model's drawings only."""
        return bool(self.segmentation_model) and (card.is_tryout or self.segmentation_model != SHIPPED_SEGMENTATION)

    def candidates_of(self, model: str) -> int:
        """How many pictures of a model are painted for each one kept."""
        return int(self.candidates.get(model, "1"))

    @cached_property
    def url(self) -> str:
        """The database's SQLAlchemy URL, with an async driver."""
        if not self.database_url:
            file = (self.data / "limner.db").resolve()
            return f"sqlite+aiosqlite:///{quote(str(file), safe='/: ')}"  # ? and % have a meaning in URLs
        kind, separator, address = self.database_url.partition("://")
        return ASYNC_DRIVERS.get(kind, kind) + separator + address

    @property
    def cards(self) -> dict[str, ModelCard]:
        """The card of each model in the order of the setting, without models whose files cannot be read."""
        return self._offered_models.cards

    @property
    def broken_models(self) -> dict[str, str]:
        """One sentence for each model whose files cannot be read."""
        return self._offered_models.broken

    def find_models(self) -> None:
        """Look for new and changed models in `models_dir` and elsewhere; blocks meanwhile, for a thread."""
        self._offered_models.find()

    @cached_property
    def _offered_models(self) -> OfferedModels:
        return OfferedModels(self, self._english, self._compiled)

    @cached_property
    def _english(self) -> list[str]:
        return _names(self.english_only)

    @property
    def _compiled(self) -> list[str]:
        return _names(self.compile)

    @property
    def offered(self) -> dict[str, ModelCard]:
        """The models that can be used."""
        return {name: card for name, card in self.cards.items() if not card.problem}

    @property
    def default_card(self) -> ModelCard:
        """The default model: the named or first one, or else the first usable one."""
        cards = self.cards
        named = cards.get(self.default_model or next(iter(self._offered_models.names), ""))
        if named is None and not cards:
            empty = _("There is none in the folder {folder}.", folder=self.models_dir)
            raise SetupError(_("No model can be used. {next}", next=next(iter(self.broken_models.values()), empty)))
        able = (card for card in (named, *cards.values()) if card and not (card.problem or card.needs_picture))
        return next(able, named or next(iter(cards.values())))

    @cached_property
    def safety_classifier_entry(self) -> tuple[str, str]:
        """The safety classifier's entry point and the model that it loads; both empty if it is switched off."""
        if self.safety_classifier == "off":
            return "", ""
        if self.safety_classifier == "default":
            return "opennsfw", ""
        if self.safety_classifier in safety_classifiers():
            return self.safety_classifier, ""
        if "/" not in self.safety_classifier and not Path(self.safety_classifier).is_dir():
            raise SetupError(
                _(
                    "The setting `safety_classifier` must be default, off, a folder, a hub name or an installed "
                    "package's."
                )
            )
        return "transformers", self.safety_classifier

    @cached_property
    def safety_classifier_texts(self) -> tuple[list[str], list[str]]:
        """The labels or texts that count as explicit, and the texts that do not."""
        unwanted, wanted = (
            [part.strip() for part in text.split(",")]
            for text in (self.safety_classifier_unwanted, self.safety_classifier_wanted)
        )
        return [text for text in unwanted if text], [text for text in wanted if text]

    @cached_property
    def weights_of_servers(self) -> dict[int, float]:
        """Queue weight by server id; 1 for others."""
        return weights("server_weights", self.server_weights)

    @cached_property
    def weights_of_roles(self) -> dict[int, float]:
        """Queue weight by role id."""
        return weights("class_weights", self.class_weights)

    def using(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        return replace(self, **changes)


def _names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
