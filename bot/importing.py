"""Importing large libraries quickly."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Collect no garbage inside this block.

    Modules make hundreds of thousands of objects that stay. Python looks through all of them again and again for
    garbage, which takes a fifth of the time that importing torch, transformers and diffusers takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
