"""Loading models: one at a time, and without the libraries' noise."""

# pyright: basic

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

_one_at_a_time = threading.Lock()


@contextmanager
def loading() -> Iterator[None]:
    """Read a model's weights inside this block; other threads of the process wait for their turn.

    The libraries patch torch's modules for the whole process while they load, so two loads at once break each other.
    From the first load on they are silent: their warnings are for programmers, and diffusers' quote the prompt.
    """
    with _one_at_a_time:
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()
        yield
