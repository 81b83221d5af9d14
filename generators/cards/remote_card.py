"""Cards of models that servers paint, from what the operator says of them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from limner.generators.cards.abilities import abilities
from limner.generators.cards.card_schema import read_limner_json
from limner.generators.cards.model_card import NOT_SAID, ImagesServer, ModelCard
from limner.generators.cards.workflow import Workflow
from limner.generators.references import Role


def addresses(text: str) -> tuple[str, ...]:
    """The addresses in a text, with spaces or commas between them."""
    return tuple(text.replace(",", " ").split())


def remote_card(
    name: str, source: str, *, kind: str, server: ImagesServer, folder: Path, **overrides: Any
) -> ModelCard:
    """The card of the model that servers call ``source``; ``overrides`` win over a limner.json in the folder.

    Of the kind ``comfy``, ``source`` is a workflow file, whose placeholders say what it takes. Of others the ``loras``
    are names with the servers' own paths, and ``references`` says that they take further pictures. ``images_url`` are
    the model's own servers.

    Raises:
        BadText: the limner.json or the workflow is wrong, and where.
    """
    said = read_limner_json(folder / "limner.json")
    known = {field.name for field in fields(ModelCard)} - NOT_SAID - {"kind"}
    able = abilities(kind, None) | (Workflow.read(Path(source)).abilities() if kind == "comfy" else {})
    values: dict[str, Any] = able | {key: value for key, value in said.items() if key in known}
    if kind == "openai":
        values["takes_loras"] = said.get("takes_loras", bool(said.get("loras")))
    if kind == "openai" and said.get("references"):
        values["adapters"] = {Role.SUBJECT: ""}
    own = addresses(said.get("images_url", ""))
    at = ImagesServer(own, server.api_key, server.timeout) if own else server
    return ModelCard(name=name, source=source, kind=kind, server=at, **values | overrides)
