"""Generator for OpenAI-compatible images servers: vLLM-Omni, SGLang-Diffusion, LocalAI, or a hosted one."""

from __future__ import annotations

from limner.generators.cards.model_card import ImagesServer, ModelCard
from limner.generators.remote.generator import RemoteGenerator
from limner.generators.remote.images_answer import NOT_FOUND
from limner.generators.remote.images_client import ImagesClient


class OpenAIImagesGenerator(RemoteGenerator):
    """Sends each sample to an images server; a picture of another size than requested is used as it is.

    Servers report no steps. Those that stream send rough pictures.
    """

    no_server = NOT_FOUND

    @classmethod
    def open_client(cls, card: ModelCard, server: ImagesServer) -> ImagesClient:
        """A client that asks for the model ``card.source``."""
        return ImagesClient.of(card, server)
