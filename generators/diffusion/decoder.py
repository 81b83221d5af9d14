"""Decodes latents into pixels, in parallel with the denoiser where the device allows it."""

# pyright: basic

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from limner.generators.diffusion.flight import Flight
from limner.generators.diffusion.stacked_calls import Call, Rows, Stacker
from limner.generators.errors import GenerationError


class Decoder:
    """Decodes for many requests in one call: at once, or on an NVIDIA GPU in a CUDA stream of its own.

    Args:
        stacker: makes the calls of the VAE.
        aside: the GPU on which the denoiser runs in parallel; None to decode at once.
    """

    def __init__(self, stacker: Stacker, aside: torch.device | None) -> None:
        self._stacker = stacker
        self._stream = torch.cuda.Stream(aside) if aside else None
        self._landing: list[_Landing] = []

    def start(self, flights: Sequence[Flight], calls: Sequence[Call], pixels: int) -> None:
        """Start decoding for these flights; `landed` returns the results."""
        if self._stream is None:
            self._landing.append(_Landing(flights, calls, self._stacker.answers(calls, pixels), None))
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            answers = self._stacker.answers(calls, pixels)
            self._landing.append(_Landing(flights, calls, answers, self._stream.record_event()))

    def landed(self, *, wait: bool) -> Iterator[tuple[Flight, Rows | GenerationError]]:
        """The finished results with their flights; with ``wait`` all of them."""
        for landing in list(self._landing):
            if wait and landing.event:
                landing.event.synchronize()
            if landing.event is None or landing.event.query():
                self._landing.remove(landing)
                yield from zip(landing.flights, landing.answers, strict=True)


class _Landing(NamedTuple):
    """A decoding in progress, until its event (None: done); keeps the calls alive, as another stream reads them."""

    flights: Sequence[Flight]
    calls: Sequence[Call]
    answers: Sequence[Rows | GenerationError]
    event: Any
