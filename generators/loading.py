"""Loads and builds models one at a time per process, and silences the libraries."""

# pyright: basic

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

_one_at_a_time = threading.RLock()


@contextmanager
def loading() -> Iterator[None]:
    """Build a model and read its weights inside this block, or in a function that is decorated with `loading()`.

    Other threads of the process wait for their turn. While diffusers, transformers and accelerate load, they replace
    `torch.nn.Module.register_parameter`, the functions of `torch.nn.init` and the default dtype for the whole process,
    and restore at the end what they found at the beginning. Of two loads that overlap, the second restores the first
    one's replacement: from then on all new modules are on the device "meta", without numbers. A module that another
    thread builds meanwhile has none either.

    From the first load on the libraries are silent: their warnings are for programmers, and diffusers' quote the
    prompt.
    """
    with _one_at_a_time:
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()
        yield
