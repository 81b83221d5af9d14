"""Cards of models that servers paint, from what the operator says of them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from limner.generators.cards.abilities import abilities
from limner.generators.cards.card_schema import read_limner_json
from limner.generators.cards.model_card import NOT_SAID, ImagesServer, ModelCard
from limner.generators.references import Role


def addresses(text: str) -> tuple[str, ...]:
    """The addresses in a text, with spaces or commas between them."""
    return tuple(text.replace(",", " ").split())


def remote_card(
    name: str, source: str, *, kind: str, server: ImagesServer, folder: Path, **overrides: Any
) -> ModelCard:
    """The card of the model that servers call ``source``; ``overrides`` win over a limner.json in the folder.

    Its ``loras`` are names with the servers' own paths, ``references`` says that they take further pictures, and
    ``images_url`` are the model's own servers.

    Raises:
        BadText: the limner.json is wrong, and where.
    """
    said = read_limner_json(folder / "limner.json")
    known = {field.name for field in fields(ModelCard)} - NOT_SAID - {"kind"}
    values: dict[str, Any] = abilities(kind, None) | {key: value for key, value in said.items() if key in known}
    values["takes_loras"] = said.get("takes_loras", bool(said.get("loras")))
    if said.get("references"):
        values["adapters"] = {Role.SUBJECT: ""}
    own = addresses(said.get("images_url", ""))
    at = ImagesServer(own, server.api_key, server.timeout) if own else server
    return ModelCard(name=name, source=source, kind=kind, server=at, **values | overrides)
