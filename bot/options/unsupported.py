"""Options that a model does not support: why, in a sentence, from its card; empty where it does."""

from __future__ import annotations

from limner.bot.translation import _
from limner.generators.cards.model_card import ModelCard
from limner.generators.references import Role
from limner.generators.requests import GenerationRequest


def start_picture(card: ModelCard) -> str:
    """Starting from a picture."""
    if card.starts:
        return ""
    return _("The model {model} cannot start from a picture; ask again with words only.", model=card.name)


def strength(card: ModelCard) -> str:
    """How much of a picture may change."""
    if not card.edits:
        return ""
    return _("The model {model} changes a picture as the words say; leave out the option strength.", model=card.name)


def frames(card: ModelCard, request: GenerationRequest) -> str:
    """Videos, by a model of pictures, or pictures by a model of videos."""
    if card.video and not request.is_video:
        return _(
            "The model {model} paints videos; ask for one with /animate and --model {model}, or choose another model.",
            model=card.name,
        )
    if request.is_video and not card.video:
        return _("The model {model} paints no videos; choose another model.", model=card.name)
    if card.video and request.frames not in card.video.counts:
        nearest = card.video.nearest(request.frames)
        return _(
            "The model {model} paints no videos of {frames} frames, but {nearest}; ask for so many.",
            model=card.name,
            frames=request.frames,
            nearest=nearest,
        )
    return ""


def mixing(card: ModelCard) -> str:
    """Styles of two pictures in one."""
    if card.style_layers:
        return ""
    return _("The model {model} cannot mix styles; leave out the option mix.", model=card.name)


def tiles(card: ModelCard) -> str:
    """Pictures whose opposite edges continue each other."""
    if card.tiles:
        return ""
    return _("The model {model} cannot join a picture's edges; ask again without tile.", model=card.name)


def style_reference(card: ModelCard) -> str:
    """A picture whose style is taken."""
    return _adapter(card, Role.STYLE)


def subject_reference(card: ModelCard) -> str:
    """A picture whose subject is taken."""
    return _adapter(card, Role.SUBJECT)


def subject_weight(card: ModelCard) -> str:
    """How much a subject reference counts, and where: an IP-Adapter's alone."""
    if card.server and Role.SUBJECT in card.adapters:
        return _(
            "The model {model} weighs no references; say in words what counts how much, or where.", model=card.name
        )
    return subject_reference(card)


def blend(card: ModelCard) -> str:
    """Blending pictures."""
    if Role.BLEND in card.adapters:
        return ""
    return _("The model {model} blends no pictures; choose another model.", model=card.name)


def control(card: ModelCard) -> str:
    """A picture that the composition follows."""
    if card.controls:
        return ""
    return _(
        "The model {model} has no ControlNet; leave out the control picture or choose another model.", model=card.name
    )


def explaining(card: ModelCard) -> str:
    """Showing which words drew what."""
    if card.explains:
        return ""
    return _("The model {model} cannot show which of its words drew what; Details shows the words.", model=card.name)


def refining(card: ModelCard) -> str:
    """Painting again for what is missing in a picture."""
    if not card.restyles:
        return ""
    return _(
        "The model {model} reads no words, so nothing can be missing; leave out the option refine.", model=card.name
    )


def quality(card: ModelCard) -> str:
    """Drafts and fine pictures."""
    if card.has_steps and not card.server:
        return ""
    return _("The model {model} paints in one quality only; leave out the option quality.", model=card.name)


def skipping(card: ModelCard) -> str:
    """Leaving out denoising steps."""
    if card.skips:
        return ""
    return _("The model {model} leaves out no steps; ask again without skipping.", model=card.name)


def guided(card: ModelCard) -> str:
    """Guidance in a part of the steps."""
    if card.guides_in_part:
        return ""
    return _("The model {model} cannot limit guidance to some steps; ask again without guided.", model=card.name)


def _adapter(card: ModelCard, role: Role) -> str:
    if role in card.adapters:
        return ""
    return _(
        "The model {model} has no adapter for such references; leave them out or choose another model.", model=card.name
    )
