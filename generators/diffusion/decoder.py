"""Latents into pixels, beside the denoiser where the device can do both."""

# pyright: basic

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from limner.generators.base import GenerationError
from limner.generators.diffusion.flight import Flight
from limner.generators.diffusion.stacked_calls import Call, Rows, Stacker


class Decoder:
    """Decodes for many requests in one call: at once, or on an NVIDIA GPU in a stream of its own.

    Args:
        stacker: makes the calls of the VAE.
        aside: the GPU on which the denoiser goes on meanwhile; None to decode at once.
    """

    def __init__(self, stacker: Stacker, aside: torch.device | None) -> None:
        self._stacker = stacker
        self._stream = torch.cuda.Stream(aside) if aside else None
        self._landing: list[_Landing] = []

    def start(self, flights: Sequence[Flight], calls: Sequence[Call], pixels: int) -> None:
        """Decode what these flights wait for; `landed` brings their answers."""
        if self._stream is None:
            self._landing.append(_Landing(flights, calls, self._stacker.answers(calls, pixels), None))
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            answers = self._stacker.answers(calls, pixels)
            self._landing.append(_Landing(flights, calls, answers, self._stream.record_event()))

    def landed(self, *, wait: bool) -> Iterator[tuple[Flight, Rows | GenerationError]]:
        """The answers that are there, with whom they are for; with ``wait`` all of them."""
        for landing in list(self._landing):
            if wait and landing.event:
                landing.event.synchronize()
            if landing.event is None or landing.event.query():
                self._landing.remove(landing)
                yield from zip(landing.flights, landing.answers, strict=True)


class _Landing(NamedTuple):
    """What is being decoded, until the event (None: it is there); the calls are kept, as another stream reads them."""

    flights: Sequence[Flight]
    calls: Sequence[Call]
    answers: Sequence[Rows | GenerationError]
    event: Any
