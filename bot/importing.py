"""Importing large libraries quickly."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Disable garbage collection inside this block.

    Imports create hundreds of thousands of lasting objects; collecting garbage meanwhile takes a fifth of the time of
    importing torch, transformers and diffusers.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
