"""What an exception out of torch or diffusers means for the request that met it, and for the device."""

# pyright: basic

from __future__ import annotations

import logging

import torch
from accelerate.utils.memory import should_reduce_batch_size

from limner.generators.base import DeviceLost, GenerationError, ModelFailed, OutOfMemory, error_site

log = logging.getLogger(__name__)

NO_MEMORY = (
    "out of memory",
    "ALLOC_FAILED",
    "std::bad_alloc",
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
)
"""How CUDA, cuBLAS and oneDNN say that memory has run out where torch's own allocator was not asked.

oneDNN says the same of what it cannot do at all, but a model whose every layer it could not do would not paint at all.
"""

LOST = ("CUDA error", "HIP error", "cuDNN error", "NVML", "MPS backend error")
"""How errors begin after which every further call fails: only a new process gets the device back."""


def understand(error: Exception) -> GenerationError:
    """The error as its reader should see it; what is not known is logged by its kind and place, never its text.

    Raises:
        DeviceLost: the device is of no more use to this process, whatever is tried; no request is to blame.
    """
    if isinstance(error, GenerationError):
        if isinstance(error, DeviceLost):
            raise error
        return error
    text = str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or should_reduce_batch_size(error):
        return OutOfMemory()
    if isinstance(error, RuntimeError) and any(words in text for words in NO_MEMORY):
        return OutOfMemory()
    if isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and text.startswith(LOST)):
        raise DeviceLost from error
    log.error("picture_failed reason=%s", error_site(error))
    return ModelFailed()
