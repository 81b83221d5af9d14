"""Classifies exceptions of torch and diffusers: the error for the request, or a lost device."""

# pyright: basic

from __future__ import annotations

import logging

import torch
from accelerate.utils.memory import should_reduce_batch_size

from limner.generators.errors import DeviceLost, GenerationError, ModelFailed, OutOfMemory, error_site

log = logging.getLogger(__name__)

NO_MEMORY = (
    "out of memory",
    "ALLOC_FAILED",
    "std::bad_alloc",
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
)
"""Messages of CUDA, cuBLAS and oneDNN for lack of memory outside torch's own allocator.

oneDNN gives the same message for unsupported operations, but a model made of those would never work.
"""

LOST = ("CUDA error", "HIP error", "cuDNN error", "NVML", "MPS backend error")
"""Beginnings of errors after which every further call fails: only a new process gets the device back."""


def understand(error: Exception) -> GenerationError:
    """The error for the member; unknown ones are logged by type and code location, never by text.

    Raises:
        DeviceLost: the device is unusable for this process; no request is to blame.
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
