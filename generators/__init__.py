"""Words in, pictures out: the names that a plugin author needs. Importing this imports no torch."""

from generators.base import (
    BadRequest,
    Event,
    Expansion,
    Failed,
    Finished,
    GenerationError,
    GenerationRequest,
    ImageGenerator,
    ModelCard,
    ModelNotFound,
    OutOfMemory,
    Preview,
    Progress,
    PromptExpander,
)

__all__ = [
    "BadRequest",
    "Event",
    "Expansion",
    "Failed",
    "Finished",
    "GenerationError",
    "GenerationRequest",
    "ImageGenerator",
    "ModelCard",
    "ModelNotFound",
    "OutOfMemory",
    "Preview",
    "Progress",
    "PromptExpander",
]
