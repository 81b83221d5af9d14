"""Text to images: the names for authors of plug-ins, each loaded at its first use. Importing this imports no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.generators.base import (
        Event,
        Expansion,
        Failed,
        Finished,
        ImageGenerator,
        Preview,
        Progress,
        PromptExpander,
    )
    from limner.generators.cards.model_card import ImagesServer, ModelCard
    from limner.generators.errors import BadRequest, DeviceLost, GenerationError, ModelNotFound, OutOfMemory
    from limner.generators.requests import GenerationRequest

__all__ = [
    "BadRequest",
    "DeviceLost",
    "Event",
    "Expansion",
    "Failed",
    "Finished",
    "GenerationError",
    "GenerationRequest",
    "ImageGenerator",
    "ImagesServer",
    "ModelCard",
    "ModelNotFound",
    "OutOfMemory",
    "Preview",
    "Progress",
    "PromptExpander",
]

_MODULES = ("base", "cards.model_card", "errors", "requests")


def __getattr__(name: str) -> Any:
    """Finds a name in its module; processes that open one picture and end would pay for all of them."""
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f"limner.generators.{module}"))
            if name in found:
                return found[name]
    raise AttributeError(f"limner.generators has no {name}")
