"""Words in, pictures out: the names that a plugin author needs. Importing this imports no torch."""

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
