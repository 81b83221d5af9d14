"""What was measured of the image models on their devices, what is on for that, and what it brings."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, cast

from limner.bot.cli.doctor.check import Check
from limner.bot.quantities import decimal
from limner.bot.settings import Settings
from limner.bot.translation import N_, _, commas
from limner.generators.cards.model_card import ModelCard
from limner.generators.measured import Measured

NO_ATTENTION = {
    "package": N_("its package is missing here, or too old"),
    "denoiser": N_("diffusers offers no choice for this kind of model"),
    "device": N_("it does not work on this device or in this number format"),
    "untimed": N_("it cannot be timed, as the model paints from pictures only"),
}


def measured(card: ModelCard, kept: Measured, settings: Settings) -> Iterator[Check]:
    """How an image model is kept, what was measured of it on its devices, and what that brought."""
    if card.kind == "diffusion" and not card.server and not card.problem:
        weights = card.quantize or _("as they are")
        how = {"dtype": settings.dtype, "weights": weights, "offload": settings.offload}
        what = _("model {card}: number format {dtype}, weights {weights}, offloading {offload}", card=card.name, **how)
        yield Check("ok", what)
    for device, samples in _measured("batch", card, kept):
        what = _(
            "model {card} on {device}: {samples} samples in a call", card=card.name, device=device, samples=samples
        )
        yield Check("ok", what)
    for device, value in _measured("formats", card, kept) if settings.dtype == "fastest" else ():
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
    if card.attention:
        yield from _attention(card, kept)
    if card.compile_cache:
        yield from _compiled(card, kept)


def _attention(card: ModelCard, kept: Measured) -> Iterator[Check]:
    """Whether attention is computed as the operator says."""
    for device, value in dict(_measured("attention", card, kept, f"|{card.attention}|{_libraries()}")).items():
        named = {"card": card.name, "device": device, "backend": card.attention}
        match value:
            case {"time": float(part)} if 0 < part < 1:
                gain = decimal(1 / part, 2)
                what = _("model {card} on {device}: attention by {backend}, {gain} times as fast", **named, gain=gain)
                yield Check("ok", what)
            case {"time": float()}:
                yield Check(
                    "ok", _("model {card} on {device}: attention by {backend} saves no time and is off", **named)
                )
            case {"problem": str(problem)} if problem in NO_ATTENTION:
                what = _(
                    "model {card} on {device}: attention by {backend} is off: {why}",
                    **named,
                    why=_(NO_ATTENTION[problem]),
                )
                yield Check("warn", what, _("name another one in the setting `attention`, or take the model out of it"))
            case _damaged:
                pass


def _compiled(card: ModelCard, kept: Measured) -> Iterator[Check]:
    """For which calls a model is compiled."""
    found = dict(_measured("compiled", card, kept, f"|{_libraries()}"))
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


def _libraries() -> str:
    """The versions on which measurements depend."""
    return f"torch {version('torch')}|diffusers {version('diffusers')}"


def _measured(subject: str, card: ModelCard, kept: Measured, ending: str = "") -> Iterator[tuple[str, Any]]:
    """The devices on which a model was measured, and what was found."""
    for key, value in kept.all(subject).items():
        device, _bar, rest = key.partition("|")
        if rest.startswith(f"{card.source}|") and rest.endswith(ending):
            yield device, value
