"""Diffusion-DPO: a LoRA learns which of two pictures is preferred, held near the model without it (Wallace 2023)."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from diffusers import StableDiffusionPipeline
from torch.nn import functional

from limner.generators.training.data.latents import Latents
from limner.generators.training.families.latent_diffusion import (
    DROPPED,
    Captions,
    DiffusionTask,
    own_conditions,
)
from limner.generators.training.plan import Loss
from limner.generators.training.processes import own_random

BETA = 2000.0
"""How strongly the LoRA is held near the model without it; the paper has 2000 for Stable Diffusion 1.5, 5000 for XL."""


class PreferenceTask(DiffusionTask):
    """Learns from pairs: latent 2n is preferred to latent 2n + 1, which usually has the same caption.

    The loss is that of Diffusion-DPO (https://arxiv.org/abs/2311.12908, equation 14), in the form of the pipeline's own
    objective: noise, velocity, or flow (https://arxiv.org/abs/2501.13918). Both pictures of a pair get the same noise
    at the same timestep. The model without the LoRA is the reference.
    """

    parts = ("margin", "right")

    def __init__(
        self,
        pipe: StableDiffusionPipeline,
        captions: Captions,
        latents: Latents,
        prompts: Sequence[str],
        *,
        beta: float = BETA,
    ) -> None:
        super().__init__(pipe, captions, latents, prompts)
        self._beta, self.size = beta, len(latents) // 2

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The negative logarithm of the probability that the preferred pictures are preferred.

        ``margin`` is the mean of what the logistic function is applied to: 0 for the reference. ``right`` is the share
        of pairs in which it is positive.
        """
        device = self._unet.device
        dropped = torch.rand(len(numbers), generator=random) < DROPPED
        random = own_random(random, device)
        both = [2 * number for number in numbers] + [2 * number + 1 for number in numbers]
        latents = self._latents[both].to(random.device) * self._scale
        conditions = own_conditions(self._captions.read(both, dropped.repeat(2), random), self._unet)
        noise = torch.randn(latents[: len(numbers)].shape, generator=random, device=random.device).repeat(2, 1, 1, 1)
        moments = self._objective.draw(len(numbers), random).repeat(2)
        question = self._objective.mix(latents, noise, moments)
        with torch.no_grad(), self._without_lora():
            reference = self._errors(question, conditions)
        better, worse = (self._errors(question, conditions) - reference).chunk(2)
        margins = self._beta / 2 * (worse - better)
        total = -functional.logsigmoid(margins).mean()
        return Loss(total, {"margin": margins.mean(), "right": (margins > 0).float().mean()})

    @contextmanager
    def _without_lora(self) -> Generator[None]:
        self._unet.disable_adapters()
        try:
            yield
        finally:
            self._unet.enable_adapters()
