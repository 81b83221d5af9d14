"""Text to images: the names for authors of plug-ins. Importing this imports no torch."""

from limner.generators.base import Event, Expansion, Failed, Finished, ImageGenerator, Preview, Progress, PromptExpander
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
