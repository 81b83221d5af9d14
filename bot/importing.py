"""Importing large libraries quickly."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Disable garbage collection inside this block, and leave what exists then out of every later one.

    Imports create hundreds of thousands of lasting objects; collecting garbage meanwhile takes a fifth of the time of
    importing torch, transformers and diffusers. A later collection that looks through them stops the process for a
    tenth of a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
