"""Generator for models that ComfyUI paints, by a workflow of the operator's."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from limner.generators.base import FIRST_BATCH
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.workflow import Workflow
from limner.generators.errors import ModelNotFound
from limner.generators.measured import Measured
from limner.generators.remote.comfy_client import NO_COMFY, ComfyClient
from limner.generators.remote.generator import RemoteGenerator
from limner.generators.text_files import BadText


class ComfyGenerator(RemoteGenerator):
    """Runs the workflow in the file ``card.source`` once for each sample; its steps and rough pictures are shown."""

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
        """Read the workflow; nothing is sent before the first `step`.

        Args:
            card: the model, with its servers.
            device: not used; ComfyUI has its own.
            dtype: not used.
            offload: not used.
            max_batch: runs that are queued in each ComfyUI at the same time; None: `FIRST_BATCH`.
            previews: not used; ComfyUI's own setting says whether it sends any.
            measured: not used.

        Raises:
            ModelNotFound: the workflow cannot be used any more.
        """
        if card.server is None:
            raise ModelNotFound(NO_COMFY)
        try:
            workflow = Workflow.read(Path(card.source))
        except BadText as error:
            raise ModelNotFound from error
        batch = (max_batch or FIRST_BATCH) * len(card.server.addresses)
        return cls(ComfyClient(card.server, workflow, card.name), card, batch)
