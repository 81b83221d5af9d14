"""Repeats: what a request was painted with, and whether a repeat is the same picture or what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from PIL import Image, ImageChops

from limner.bot.translation import N_, _, commas
from limner.generators.cards.model_card import ModelCard
from limner.generators.references import OF_CONTROLNETS
from limner.generators.requests import GenerationRequest
from limner.generators.revisions import Revisions, model_folder, scheduler_class

MADE_WITH = {
    "Model hash": N_("the model's files"),
    "Lora hashes": N_("the LoRA's files"),
    "Adapter hashes": N_("the adapter's files"),
    "ControlNet hashes": N_("the ControlNet's files"),
    "Scheduler": N_("the scheduler"),
    "Weights": N_("the weights' precision"),
    "Attention": N_("how attention is computed"),
    "Device": N_("the device"),
    "torch": "torch",
    "diffusers": "diffusers",
    "Mark": N_("the invisible mark"),
    "TrustMark": "TrustMark",
    "Label": N_("the label in the corner"),
    "Version": N_("the version"),
}
"""What a picture depends on beside its request: by its key in a PNG file's parameters, its name in a sentence."""
HASH = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{8}(?=,|$)")
"""A revision (`Revisions.of`), of which a member reads the first half."""
LIBRARIES = ("torch", "diffusers")
SAME = N_("The same as {what}, pixel by pixel.")
OTHER = N_("Not quite the same as {what}: {differences}.")
UNEXPLAINED = N_(
    "Not quite the same as {what}, though its files and versions are; another device or other neighbours in a batch "
    "may round otherwise."
)
UNKNOWN = N_("Not quite the same as {what}, of which it is not known what it was painted with.")
GONE = N_("The pictures of {what} are gone, so there is nothing to compare with.")

Pairs = Sequence[tuple[Image.Image, Image.Image]]
"""Pictures, each with the earlier one that it repeats."""


def made_with(card: ModelCard, request: GenerationRequest, device: str, revisions: Revisions) -> dict[str, str]:
    """What a request is painted with, by the keys of `MADE_WITH`; blocks while a file is hashed for the first time."""
    mine = {"Version": f"Limner {version('limner')}"}
    if card.server:
        return mine
    adapters = {str(role): card.adapters.get(role, "") for role, _weight in request.image_prompts}
    encoder = {"image_encoder": card.image_encoder} if adapters else {}
    nets = {kind: card.controlnets.get(kind, "") for kind in (OF_CONTROLNETS[one.role] for one in request.controls)}
    found = {
        "Model hash": revisions.of(model_folder(card)),
        "Lora hashes": _hashes(revisions, {name: card.loras.get(name, "") for name, _weight in request.loras}),
        "Adapter hashes": _hashes(revisions, {**adapters, **encoder}),
        "ControlNet hashes": _hashes(revisions, {**nets}),
        "Scheduler": scheduler_class(card, request.scheduler),
        "Weights": card.quantize,
        "Attention": card.attention if "sage" in card.attention else "",
        "Device": device.split(":")[0],
        **{name: version(name) for name in LIBRARIES},
    }
    return {name: value for name, value in found.items() if value} | mine


def same_pixels(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures have the same size and colours."""
    if one.size != other.size:
        return False
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is None


def compared(then: Mapping[str, str] | None, now: Mapping[str, str], pairs: Pairs) -> dict[str, Any]:
    """What is kept of a comparison with earlier pictures: whether they are the same, or else what differs."""
    if not pairs:
        return {"gone": True}
    if all(same_pixels(*pair) for pair in pairs):
        return {"same": True}
    return {"differs": None if then is None else _differing(then, now)}


def sentence_of(found: Mapping[str, Any], what: str) -> str:
    """The sentence about what `compared` found; ``what`` names the earlier pictures."""
    if found.get("gone"):
        return _(GONE, what=what)
    if found.get("same"):
        return _(SAME, what=what)
    if found["differs"] is None:
        return _(UNKNOWN, what=what)
    named = list(named_differences(found["differs"]))
    return _(OTHER, what=what, differences=commas(named)) if named else _(UNEXPLAINED, what=what)


def named_differences(differs: Sequence[Sequence[str]]) -> Iterator[str]:
    """Such as "diffusers 0.42 then, 0.43 now"."""
    for key, old, new in differs:
        yield _("{what} {old} then, {new} now", what=_(MADE_WITH[key]), old=old or "–", new=new or "–")


def shown(made_with: Mapping[str, str]) -> str:
    """What a request was painted with, for its Details: such as "the model's files 0a1b2c3d · the device cuda"."""
    found = ((key, HASH.sub(r"\1", made_with[key])) for key in MADE_WITH if key in made_with)
    return " · ".join(value if key == "Version" else f"{_(MADE_WITH[key])} {value}" for key, value in found)


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    pairs = ((key, then.get(key, ""), now.get(key, "")) for key in MADE_WITH)
    return [(key, old, new) for key, old, new in pairs if old != new]


def _hashes(revisions: Revisions, files: Mapping[str, str]) -> str:
    """Such as "ink: 0a1b2c, gold: 3d4e5f", as AUTOMATIC1111's web UI writes them."""
    return ", ".join(f"{name}: {revisions.of(file)}" for name, file in files.items() if file)
