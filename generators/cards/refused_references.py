"""References that a model cannot use together: refused from its card, before a request is queued."""

from __future__ import annotations

from limner.generators.cards.model_card import ModelCard
from limner.generators.references import Area, Reference
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence


def refused_together(card: ModelCard, request: GenerationRequest) -> str:
    """Why a model cannot use a request's references together, in a sentence; empty if it can."""
    limits = card.reference_limits
    prompts = [one for one in request.references if not one.is_control]
    if limits.most_prompts is not None and len(prompts) > limits.most_prompts:
        return sentence("This model refers to one picture at a time; leave the other references out.")
    if not limits.areas and any(one.place != Area.ALL for one in prompts):
        return sentence("This model's references count in the whole picture; leave out areas and masks.")
    if not request.controls:
        return ""
    if request.init_image and not limits.controls_of_pictures:
        return sentence("This model follows a control picture only when it paints from words; leave one picture out.")
    if request.init_image and prompts and not limits.both_of_pictures:
        return sentence(
            "This model cannot start from a picture with a reference and a control picture at once; leave one out."
        )
    if len({card.control_inputs.get(one.kind) for one in request.controls}) > 1:
        return sentence("These ControlNets read their pictures differently, so they cannot be used together; name one.")
    return ""


def usable_from_picture(card: ModelCard, references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """The references of a request that count when it starts from a picture; else its control pictures are left out."""
    prompts = tuple(one for one in references if not one.is_control)
    limits = card.reference_limits
    is_usable = limits.controls_of_pictures and (limits.both_of_pictures or not prompts)
    return references if is_usable else prompts
