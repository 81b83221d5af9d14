"""Text to images: the names for authors of plug-ins. Importing this imports no torch."""

from limner.generators.base import (
    BadRequest,
    DeviceLost,
    Event,
    Expansion,
    Failed,
    Finished,
    GenerationError,
    GenerationRequest,
    ImageGenerator,
    ImagesServer,
    ModelCard,
    ModelNotFound,
    OutOfMemory,
    Preview,
    Progress,
    PromptExpander,
)

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
