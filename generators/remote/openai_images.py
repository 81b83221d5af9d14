"""Generator for OpenAI-compatible images servers: vLLM-Omni, SGLang-Diffusion, LocalAI, or a hosted one."""

from __future__ import annotations

from typing import Self

from limner.generators.base import FIRST_BATCH
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import ModelNotFound
from limner.generators.measured import Measured
from limner.generators.remote.generator import RemoteGenerator
from limner.generators.remote.images_answer import NOT_FOUND
from limner.generators.remote.images_client import ImagesClient


class OpenAIImagesGenerator(RemoteGenerator):
    """Sends each sample to an images server; a picture of another size than requested is used as it is.

    Servers report no steps. Those that stream send rough pictures.
    """

    @classmethod
    def load(
        cls,
        card: ModelCard,
        *,
        device: str,
        dtype: str,
        offload: str,
        max_batch: int | None,
        previews: float,
        measured: Measured | None = None,
    ) -> Self:
        """Get ready to ask ``card.server`` for its model ``card.source``; nothing is sent before the first `step`.

        Args:
            card: the model, with its servers.
            device: not used; the server has its own.
            dtype: not used.
            offload: not used.
            max_batch: samples of the card's own size that each server is asked for at the same time; None:
                `FIRST_BATCH`.
            previews: not used; ``card.streams`` says whether there are any.
            measured: not used.
        """
        if card.server is None:
            raise ModelNotFound(NOT_FOUND)
        batch = (max_batch or FIRST_BATCH) * len(card.server.addresses)
        return cls(ImagesClient.of(card, card.server), card, batch)
