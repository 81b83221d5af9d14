"""The generation parameters in a PNG file, in the format of other tools."""

from __future__ import annotations

import json
from collections.abc import Mapping

from limner.bot.options.declarations import OPTIONS, values
from limner.bot.storage.tables.models import Job
from limner.generators.cards.model_card import ModelCard
from limner.generators.references import Role
from limner.generators.revisions import scheduler_class

BLENDED = "Blended pictures"
"""The key for the number of pictures that a picture is a blend of."""


def parameters(job: Job, card: ModelCard, seed: int) -> str:
    """The generation parameters in the format that AUTOMATIC1111's web UI introduced and most tools read.

    The prompt; a line with the negative prompt, if any; and a last line of ``Key: value`` pairs.
    """
    request = job.generation
    said = {"sampler": scheduler_class(card, None)} | values(job, request) | {"seed": seed}
    pairs = {option.key: option.write(said[option.name]) for option in OPTIONS if option.key and option.name in said}
    pairs |= {f"After step {step}": prompt for step, prompt in request.steering}
    pairs |= {"Stopped after step": request.stop_after} if request.stop_after else {}
    pairs |= {"Idea": job.idea} if job.idea != request.prompt else {}
    pairs |= {BLENDED: blended} if (blended := sum(one.role == Role.BLEND for one in request.references)) else {}
    pairs |= {"Expanded by": job.expanded.model} if job.expanded and job.expanded.model else {}
    pairs |= job.made_with or {}
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    return with_pairs("\n".join(lines) + "\n", pairs)


def with_pairs(parameters: str, pairs: Mapping[str, object]) -> str:
    """The parameters with more ``Key: value`` pairs at the end of their last line."""
    said = ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value != "")
    return parameters + (", " if said and parameters and not parameters.endswith("\n") else "") + said


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
