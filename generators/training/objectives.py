"""Training objectives of a denoiser: noise, velocity, or flow."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

PREDICTIONS = {"flow": "flow_prediction", "epsilon": "epsilon", "v": "v_prediction"}
"""The objectives by diffusers' names."""


class Question(NamedTuple):
    """Noisy latents (count, channels, height, width), their timesteps (0 to 1000), and the target."""

    latents: Tensor
    moments: Tensor
    answer: Tensor


def build_scheduler(objective: str) -> DPMSolverMultistepScheduler:
    """The sampler for a model of this objective, for few steps."""
    settings: dict[str, Any] = {"prediction_type": PREDICTIONS[objective], "steps_offset": 1}
    if objective == "flow":
        settings["use_flow_sigmas"] = True
    else:
        settings |= {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    return DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", **settings)


class Objective:
    """Makes training inputs and targets according to a scheduler's configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.kind = config.get("prediction_type", "epsilon")
        self._signal = DDPMScheduler.from_config(config).alphas_cumprod if self.kind != "flow_prediction" else None

    def ask(self, latents: Tensor, noise: Tensor, random: torch.Generator) -> Question:
        """Mix each latent with its noise at a random timestep.

        Flow (Liu 2022, Lipman 2022): middle timesteps are more frequent, a logit-normal (Esser 2024). Noise (Ho 2020)
        and velocity (Salimans and Ho 2022): uniform timesteps.
        """
        return self.mix(latents, noise, self.draw(len(latents), random))

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Random timesteps (0 to 1000)."""
        if self._signal is None:
            return torch.randn(count, generator=random, device=random.device).sigmoid() * 1000
        return torch.randint(len(self._signal), (count,), generator=random, device=random.device)

    def mix(self, latents: Tensor, noise: Tensor, moments: Tensor) -> Question:
        """Mix each latent with its noise at its timestep."""
        if self._signal is None:
            at = (moments / 1000).to(latents)[:, None, None, None]
            return Question((1 - at) * latents + at * noise, moments, noise - latents)
        signal = self._signal.to(moments.device)[moments].to(latents)[:, None, None, None]
        mixed = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        if self.kind == "epsilon":
            return Question(mixed, moments, noise)
        return Question(mixed, moments, signal.sqrt() * noise - (1 - signal).sqrt() * latents)
