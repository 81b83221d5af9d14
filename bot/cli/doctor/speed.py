"""What was measured of the image models on their devices, what is on for that, and what it brings."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, cast

from limner.bot.cli.doctor.check import Check
from limner.bot.quantities import decimal
from limner.bot.translation import _, commas
from limner.generators.cards.model_card import ModelCard
from limner.generators.measured import Measured


def measured(card: ModelCard, kept: Measured, dtype: str) -> Iterator[Check]:
    """What was measured of an image model on its devices, and what that brought."""
    for device, samples in _measured("batch", card, kept):
        what = _(
            "model {card} on {device}: {samples} samples in a call", card=card.name, device=device, samples=samples
        )
        yield Check("ok", what)
    for device, value in _measured("formats", card, kept) if dtype == "fastest" else ():
        match value:
            case {"chosen": str(chosen), "seconds": dict()} if chosen in value["seconds"]:
                times: dict[str, float] = value["seconds"]
                gain = decimal(next(iter(times.values())) / times[chosen], 2)
                what = _(
                    "model {card} on {device}: {chosen}, {gain} times as fast as the usual format",
                    card=card.name,
                    device=device,
                    chosen=chosen,
                    gain=gain,
                )
                yield Check("ok", what)
            case _damaged:
                pass
    if card.compile_cache:
        yield from _compiled(card, kept)


def _compiled(card: ModelCard, kept: Measured) -> Iterator[Check]:
    """For which calls a model is compiled."""
    found = dict(_measured("compiled", card, kept, f"|torch {version('torch')}|diffusers {version('diffusers')}"))
    if not found:
        yield Check("ok", _("model {card}: what compiling saves is measured when a worker is idle", card=card.name))
    for device, value in found.items():
        match value:
            case {"sizes": list(), "times": dict()}:
                times = cast("dict[str, float]", value["times"])
                gains = [decimal(1 / times[str(size)], 2) for size in value["sizes"] if times.get(str(size))]
                sizes = commas([str(size) for size in value["sizes"]])
                what = _("model {card} on {device}: compiling saves no time and is off", card=card.name, device=device)
                if gains:
                    what = _(
                        "model {card} on {device}: compiled for calls of {sizes} samples, {gains} times as fast",
                        card=card.name,
                        device=device,
                        sizes=sizes,
                        gains=commas(gains),
                    )
                yield Check("ok", what)
            case _damaged:
                pass


def _measured(subject: str, card: ModelCard, kept: Measured, ending: str = "") -> Iterator[tuple[str, Any]]:
    """The devices on which a model was measured, and what was found."""
    for key, value in kept.all(subject).items():
        device, _bar, rest = key.partition("|")
        if rest.startswith(f"{card.source}|") and rest.endswith(ending):
            yield device, value
