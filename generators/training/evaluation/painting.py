"""Paints prompts for an evaluation, with the same executor that serves the bot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from PIL import Image

from limner.generators.base import Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import GenerationError
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence
from limner.generators.training.errors import TrainingError

Tell = Callable[[int, int], None]
"""Called with the number of painted pictures, and of all."""


def tell_nobody(done: int, of: int) -> None:
    """A `Tell` that does nothing."""


class Painting:
    """Paints prompts with one model, as the bot would."""

    def __init__(self, card: ModelCard, *, device: str = "auto") -> None:
        self.card = card
        self._executor = Executor({card.name: card}, device=device, max_batch=4)
        self.seconds, self.painted = 0.0, 0

    def paint(self, prompts: Sequence[str], tell: Tell = tell_nobody) -> list[Image.Image]:
        """One picture for each prompt, seeded by its index.

        Raises:
            TrainingError: the model cannot be loaded, or does not paint.
        """
        requests = [self.request(prompt, number) for number, prompt in enumerate(prompts)]
        return [finished.images[0].convert("RGB") for finished in self.carry_out(requests, tell)]

    def carry_out(self, requests: Sequence[GenerationRequest], tell: Tell = tell_nobody) -> list[Finished]:
        """What becomes of each request; raises TrainingError as `paint` does."""
        waiting = [(str(number), request) for number, request in enumerate(requests)]
        done: dict[str, Finished] = {}
        begun: float | None = None
        while len(done) < len(requests):
            while waiting and self._has_room(waiting[0][1]):
                self._admit(*waiting.pop(0))
            begun = begun or time.perf_counter()  # without the time for loading
            for event in self._executor.step():
                if isinstance(event, Failed):
                    raise TrainingError(sentence("The model does not paint: {error}", error=event.error))
                if isinstance(event, Finished):
                    done[event.key] = event
                    tell(len(done), len(requests))
        self.seconds += time.perf_counter() - (begun or 0.0)
        self.painted += len(requests)
        return [done[str(number)] for number in range(len(requests))]

    def close(self) -> None:
        """Free the device."""
        self._executor.close()

    def _has_room(self, request: GenerationRequest) -> bool:
        return not self._executor.in_flight or self._executor.capacity(self.card.name) >= request.pixels

    def _admit(self, key: str, request: GenerationRequest) -> None:
        try:
            self._executor.admit(key, request)
        except GenerationError as error:
            raise TrainingError(sentence("The model cannot be used: {error}", error=error)) from error

    def request(self, prompt: str, seed: int) -> GenerationRequest:
        """The request for a prompt, with all that the model has by itself."""
        card = self.card
        return GenerationRequest(
            prompt=prompt,
            model=card.name,
            width=card.width,
            height=card.height,
            num_inference_steps=card.num_inference_steps,
            guidance_scale=card.guidance_scale,
            seed=seed,
        )
