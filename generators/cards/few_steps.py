"""Models and LoRAs that paint in few steps, known from their class, scheduler or name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MOST_STEPS = 8
"""More steps make these models' pictures worse."""


class FewSteps(NamedTuple):
    """How a distilled model paints.

    Attributes:
        steps: the usual number.
        guidance: 0 and 1 are none.
        sampler: of `samplers.NOISE`, for Stable Diffusion's families.
        scheduler: the settings of a checkpoint's scheduler that differ from its family's.
    """

    steps: int
    guidance: float = 0.0
    sampler: str = ""
    scheduler: Mapping[str, Any] = {}

    @property
    def most(self) -> int:
        """The most steps that a request may have."""
        return max(MOST_STEPS, self.steps)


_TRAILING = {"timestep_spacing": "trailing"}
KINDS = {
    "lcm": FewSteps(6, 1.0, "lcm", {"_class_name": "LCMScheduler"}),
    "dmd": FewSteps(4, 0.0, "lcm", {"_class_name": "LCMScheduler"}),
    "lightning": FewSteps(4, 0.0, "euler_trailing", {"_class_name": "EulerDiscreteScheduler", **_TRAILING}),
    "hyper": FewSteps(8, 0.0, "ddim_trailing", {"_class_name": "DDIMScheduler", **_TRAILING}),
    "turbo": FewSteps(4, 0.0, "euler_a", {"_class_name": "EulerAncestralDiscreteScheduler", **_TRAILING}),
    "schnell": FewSteps(4),
}
"""By the word in a name, as the models' cards advise: latent-consistency/lcm-lora-sdxl, tianweiy/DMD2,
ByteDance/SDXL-Lightning, ByteDance/Hyper-SD, stabilityai/sdxl-turbo, black-forest-labs/FLUX.1-schnell."""
CLASSES = {
    "LatentConsistencyModelPipeline": FewSteps(6, 8.0),  # its guidance is an input, and no second half is computed
    "SanaSprintPipeline": FewSteps(2, 4.5),
}
Z_IMAGE_TURBO = FewSteps(9)
"""Tongyi-MAI/Z-Image-Turbo: nine steps call its denoiser eight times."""
KLEIN = FewSteps(4, 1.0)
"""black-forest-labs/FLUX.2-klein-4B; its base model says in model_index.json that it is not distilled."""
_OF_LORAS = re.compile(r"\d|steps?|lora|sd|sdxl|flux", re.IGNORECASE)
"""Words that stand in the names of few-step LoRAs beside the kind: a LoRA called lightning may paint lightning."""


def few_steps(pipeline: str, tables: Mapping[str, Mapping[str, Any]], name: str) -> FewSteps | None:
    """How a model paints in few steps; None if it is not known to do so.

    Args:
        pipeline: the class of its stock pipeline.
        tables: the JSON files of its diffusers folder, by their paths in it.
        name: of its folder or file, or on the hub.
    """
    if pipeline in CLASSES:
        return CLASSES[pipeline]
    if pipeline == "Flux2KleinPipeline":
        return KLEIN if tables.get("model_index.json", {}).get("is_distilled", True) else None
    if pipeline == "FluxPipeline" and tables.get("transformer/config.json", {}).get("guidance_embeds") is False:
        return KINDS["schnell"]
    named = named_few_steps(name)
    if named and pipeline == "ZImagePipeline":
        return Z_IMAGE_TURBO
    if named:
        return named
    scheduler = tables.get("scheduler/scheduler_config.json", {}).get("_class_name")
    return KINDS["lcm"] if scheduler in ("LCMScheduler", "TCDScheduler") else None


def named_few_steps(name: str) -> FewSteps | None:
    """The few steps that a name speaks of, such as sdxlTurbo, SDXL-Lightning-4step or lcm-lora-sdv1-5."""
    words = [word.casefold() for word in _words(name)]
    following = [*words[1:], ""]
    kind = next(
        (word for word, after in zip(words, following, strict=True) if word in KINDS and not after.startswith("real")),
        None,  # hyper-realistic is another word
    )
    if kind is None:
        return None
    said = re.search(r"(?<!\d)([1-9]|1\d)[ _-]?steps?(?![a-z])", name, re.IGNORECASE)
    return KINDS[kind]._replace(steps=int(said[1])) if said else KINDS[kind]


def few_step_lora(names: Iterable[str]) -> tuple[str, FewSteps] | None:
    """The first LoRA whose name says that a model paints in few steps with it."""
    for name in names:
        few, words = named_few_steps(name), _words(name)
        if few and any(_OF_LORAS.fullmatch(word) or word.casefold() == "lcm" for word in words):
            return name, few
    return None


def _words(name: str) -> list[str]:
    """The words of a name, as spaces, signs, digits and capitals part them."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
