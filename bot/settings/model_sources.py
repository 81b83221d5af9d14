"""Models as the settings name them: folder, checkpoint, hub name or one that ships, with its size; and their cards."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from limner.bot.errors import SetupError
from limner.bot.translation import _
from limner.generators.cards.embedding_files import find_embeddings
from limner.generators.cards.lora_files import LoraFiles
from limner.generators.cards.model_card import UNLOADABLE, ImagesServer, ModelCard
from limner.generators.cards.remote_card import remote_card

LORAS = "loras"
"""The folder in the data folder that holds LoRA files, in a folder for each model."""
EMBEDDINGS = "embeddings"
"""The folder in the data folder that holds textual inversion embeddings, in a folder for each model."""
SERVERS = "servers"
"""The folder in the data folder that says what servers' models can do, in a folder for each model."""
RENAMED_MODELS = {"reader": "image-text"}
"""Old names of models that ship, which version 0.2 still reads."""
PRETRAINED = Path(__file__).resolve().parents[2] / "generators" / "pretrained"


def model_source(source: str) -> str:
    """The folder of a model that ships with the project; any other stays what it is."""
    is_ours = source.startswith("pretrained:")
    name = source.removeprefix("pretrained:")
    return str(PRETRAINED / RENAMED_MODELS.get(name, name)) if is_ours else source


def loadable_here(card: ModelCard) -> ModelCard:
    """The card on the machine that loads the model: only folders, checkpoints and hub names can be loaded."""
    path = Path(card.source)
    is_on_hub = card.source.count("/") == 1 and not path.is_absolute()
    return card if path.exists() or is_on_hub else replace(card, problem=card.problem or UNLOADABLE)


def card_with_files(name: str, source: str, data: Path, **more: Any) -> ModelCard:
    """The card of a model, with its files in the data folder: LoRAs, ControlNets, IP-Adapters and embeddings."""
    card = read_card(name, source, data=data, **more)
    if card.takes_loras:
        card = replace(card, loras=LoraFiles(card.loras, data / LORAS / name, card.prompt_width))
    if not card.weighs:
        return card
    found = find_embeddings(data / EMBEDDINGS / name, card.prompt_width)
    return replace(card, embeddings=found.usable, reference_faults=(*card.reference_faults, *found.faults))


def read_card(name: str, source: str, **more: Any) -> ModelCard:
    """The card of a model, given as in the setting ``models``."""
    source, own = _parts(name, source)
    return ModelCard.read(name, model_source(source), **more | own)


def card_of_server(name: str, source: str, data: Path, kind: str, server: ImagesServer) -> ModelCard:
    """The card of a server's model, given as in the setting ``models``; a limner.json lies in the data folder."""
    source, own = _parts(name, source)
    return remote_card(name, source, kind=kind, server=server, folder=data / SERVERS / name, **own)


def _parts(name: str, source: str) -> tuple[str, dict[str, Any]]:
    """A model's source, and the size, steps and guidance said behind it."""
    source, _at, own = source.partition("@")
    if not own:
        return source, {}
    said = re.fullmatch(r"(\d+)x(\d+)(?::(\d+)(?::(\d+(?:\.\d+)?))?)?", own)
    if not said:
        raise SetupError(
            _("The model {name!r} has the size {own!r}; write it as name=folder@WIDTHxHEIGHT.", name=name, own=own)
        )
    width, height, steps, guidance = said.groups()
    values: dict[str, Any] = {"width": int(width), "height": int(height)}
    values |= {"num_inference_steps": int(steps)} if steps else {}
    values |= {"guidance_scale": float(guidance)} if guidance else {}
    return source, values
