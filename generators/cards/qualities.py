"""Draft, standard and fine: how a model paints quickly, as usual, and carefully."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.generators.cards.few_steps import few_step_lora
from limner.generators.cards.guided_part import GuidedPart, read_part
from limner.generators.cards.skip_rules import SkipRule

if TYPE_CHECKING:
    from limner.generators.cards.model_card import ModelCard

STANDARD = "standard"
QUALITIES = ("draft", STANDARD, "fine")
DRAFT_STEPS, FINE_STEPS = 0.5, 1.6
"""Steps of draft and fine for each one of standard, where the model's card says nothing else."""
DRAFT_SCALE = 0.75
"""A draft's width and height for those of standard, where the model's own are at least LEAST_SIDE."""
LEAST_SIDE = 512
DRAFT_SAMPLER = "dpmpp_2m"
"""What needs few steps (DPM-Solver++, Lu et al. 2022), where the model's family has it."""
NO_LIMIT = 1000
"""More steps than anybody is allowed."""


@dataclass(frozen=True)
class Quality:
    """Steps, a factor for width and height, a sampler, guidance, a LoRA for few steps, step skipping, guided steps.

    None for sampler or guidance is the model's own; the LoRA is empty for none.
    """

    num_inference_steps: int
    scale: float = 1.0
    scheduler: str | None = None
    guidance_scale: float | None = None
    lora: str = ""
    skipping: SkipRule | None = None
    guided: GuidedPart | None = None

    def cost(self, card: ModelCard) -> float:
        """The denoising work for that of standard."""
        return self.num_inference_steps * self.scale**2 / card.num_inference_steps


def quality(card: ModelCard, name: str, loras: Collection[str] | None = None) -> Quality:
    """How a model paints in a quality, with its LoRAs or these: what its card says, or what suits its family."""
    loras, steps = card.loras if loras is None else loras, card.num_inference_steps
    if name == STANDARD:
        return Quality(steps)
    if name == "fine":
        fine = max(steps, min(round(steps * FINE_STEPS), card.most_steps or NO_LIMIT))
        return _possible(card, _said(Quality(fine), card.fine, loras))
    return _possible(card, _said(_draft(card, loras), card.draft, loras))


def _draft(card: ModelCard, loras: Collection[str]) -> Quality:
    """A draft in half the steps; in as few as a LoRA for few steps is made for, where the model has one."""
    scale = DRAFT_SCALE if card.other_sizes and min(card.width, card.height) >= LEAST_SIDE else 1.0
    steps = max(1, round(card.num_inference_steps * DRAFT_STEPS))
    if card.most_steps:
        return Quality(steps, scale)
    if found := few_step_lora(loras):
        lora, few = found
        sampler = few.sampler if few.sampler in card.samplers else None
        return Quality(few.steps, scale, sampler, few.guidance, lora)
    sampler = DRAFT_SAMPLER if DRAFT_SAMPLER in card.samplers else None
    return Quality(steps, scale, sampler, skipping=SkipRule.TEACACHE)


def _possible(card: ModelCard, meant: Quality) -> Quality:
    """The quality without what the model cannot do."""
    skipping, guided = meant.skipping if card.skips else None, meant.guided if card.guides_in_part else None
    return replace(meant, skipping=skipping, guided=guided)


def _said(usual: Quality, said: Mapping[str, Any], loras: Collection[str]) -> Quality:
    """What the card says of a quality; nothing of it counts without the LoRA that it was made for."""
    given: dict[str, Any] = {**vars(usual), **said}
    if "guided" in said:
        given["guided"] = read_part(said["guided"])
    meant = Quality(**given)
    return meant if not meant.lora or meant.lora in loras else usual
