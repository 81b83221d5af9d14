"""Generator for models that ComfyUI paints, by a workflow of the operator's."""

from __future__ import annotations

from pathlib import Path

from limner.generators.cards.model_card import ImagesServer, ModelCard
from limner.generators.cards.workflow import Workflow
from limner.generators.errors import ModelNotFound
from limner.generators.remote.comfy_client import NO_COMFY, ComfyClient
from limner.generators.remote.generator import RemoteGenerator
from limner.generators.text_files import BadText


class ComfyGenerator(RemoteGenerator):
    """Runs the workflow in the file ``card.source`` once for each sample; its steps and rough pictures are shown."""

    no_server = NO_COMFY

    @classmethod
    def open_client(cls, card: ModelCard, server: ImagesServer) -> ComfyClient:
        """A client that runs the workflow as its file is now; raises ModelNotFound if it cannot be used any more."""
        try:
            workflow = Workflow.read(Path(card.source))
        except BadText as error:
            raise ModelNotFound from error
        return ComfyClient(server, workflow, card.name)
