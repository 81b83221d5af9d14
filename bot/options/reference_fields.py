"""Where a request stores its references: pictures by their role, their weights, and what a control picture says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.translation import _, commas
from limner.generators.cards.model_card import ModelCard
from limner.generators.references import Area, Reference, Role
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

USUAL_WEIGHTS = {Role.STYLE: 0.6, Role.SUBJECT: 0.6}
"""Weights of references that none is said for; others count fully. With 1 an adapter leaves the words little room."""
MOST_OF_ROLE = 5
"""Pictures of one role in a request."""
MOST_CONTROLS = 3
"""Control pictures of a request."""
LEAST_WEIGHT, MOST_CONTROL_WEIGHT = 0.05, 2.0
_NUMBER = r"(\d(?:[.,]\d{1,3})?)"
_CONTROL = re.compile(rf"(\w+)(?::{_NUMBER}(?::{_NUMBER}-{_NUMBER})?)?")
_NEXT = re.compile(r"[,，、](?!\d)")
"""A comma between two controls, not the decimal comma of a weight."""


@dataclass(frozen=True)
class InReferences:
    """The pictures of one role: hashes of stored ones, or names of posted ones, with commas."""

    role: Role

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """Their hashes; empty without any."""
        return ",".join(one.picture for one in request.references if one.role == self.role)

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The pictures with their usual weight."""
        pictures = _pictures(value, MOST_OF_ROLE)
        weight = USUAL_WEIGHTS.get(self.role, 1.0)
        added = (Reference(role=self.role, picture=one, weight=weight) for one in pictures)
        return _referring(new, (*(one for one in new.request.references if one.role != self.role), *added))


@dataclass(frozen=True)
class ReferenceWeight:
    """How much the pictures of one role count; `InReferences` of the role comes before."""

    role: Role

    def get(self, job: Job | NewJob, request: GenerationRequest) -> float | None:
        """The weight, if it is not the usual one."""
        found = next((one.weight for one in request.references if one.role == self.role), None)
        return None if found == USUAL_WEIGHTS[self.role] else found

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The weight of all of them."""
        references = new.request.references
        if not any(one.role == self.role for one in references):
            raise BadOption(_("There is no reference for that weight; give a picture too, or leave the weight out."))
        return _referring(new, (replace(one, weight=value) if one.role == self.role else one for one in references))


class Areas:
    """Where each subject reference counts; `InReferences` of subjects comes before."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """The area of each; empty if all count everywhere."""
        areas = [one.area for one in request.references if one.role == Role.SUBJECT]
        return ", ".join(areas) if set(areas) - {Area.ALL} else ""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """Each subject reference in its area."""
        areas = [one.strip() for one in _NEXT.split(value) if one.strip()]
        if unknown := next((one for one in areas if one not in list(Area)), None):
            raise BadOption(
                _("“{area}” is no area; choose one of: {names}.", area=unknown[:40], names=commas(map(str, Area)))
            )
        references = new.request.references
        count = sum(one.role == Role.SUBJECT for one in references)
        if len(areas) != count:
            raise BadOption(
                _(
                    "The option areas has {areas} areas for {pictures} subject references; name one for each.",
                    areas=len(areas),
                    pictures=count,
                )
            )
        given = iter(map(Area, areas))
        return _referring(
            new, (replace(one, area=next(given)) if one.role == Role.SUBJECT else one for one in references)
        )


@dataclass(frozen=True)
class ReferenceMasks:
    """The mask of each picture of one role; `InReferences` of the role and `Areas` come before."""

    role: Role

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """Their hashes; empty without any."""
        return ",".join(one.mask for one in request.references if one.role == self.role and one.mask)

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """Each picture where its mask is white."""
        masks, references = _pictures(value, MOST_OF_ROLE), new.request.references
        referring = [one for one in references if one.role == self.role]
        if len(masks) != len(referring):
            raise BadOption(
                _(
                    "There are {masks} masks for {pictures} references; give one for each, or none.",
                    masks=len(masks),
                    pictures=len(referring),
                )
            )
        if any(one.area != Area.ALL for one in referring):
            raise BadOption(_("Say in one way where a reference counts: by areas, or by masks."))
        given = iter(masks)
        return _referring(new, (replace(one, mask=next(given)) if one.role == self.role else one for one in references))


class ControlPictures:
    """The control pictures; what they say is the model's first kind until `Controls` says more."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """Their hashes, one if it serves several ControlNets; empty without any."""
        pictures = [one.picture for one in request.controls]
        return ",".join(pictures if len(set(pictures)) > 1 else pictures[:1])

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The pictures with full weight."""
        kinds = settings.cards[new.request.model].controls
        pictures = _pictures(value, MOST_CONTROLS)
        role = kinds[0] if kinds else Role.EDGES  # a model without any is refused with the other limits
        added = (Reference(role=role, picture=one) for one in pictures)
        return _referring(new, (*(one for one in new.request.references if not one.is_control), *added))


class Controls:
    """What the control pictures say, with weights and the steps that count: edges:0.8:0-0.6, depth."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """The written form; empty without control pictures."""
        return ", ".join(map(_written, request.controls))

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """Each control picture with its kind; of one picture all kinds are read."""
        card = settings.cards[new.request.model]
        pictures = [one.picture for one in new.request.controls]
        if not pictures:
            raise BadOption(_("The option controls is about control pictures; give one with the option control."))
        said = [_control(card, part) for part in filter(None, map(str.strip, _NEXT.split(value)))]
        if len(pictures) == 1:
            pictures *= len(said)
        if len(said) != len(pictures) or len(said) > MOST_CONTROLS:
            raise BadOption(
                _(
                    "The option controls has {kinds} kinds for {pictures} pictures; name one for each, at most {most}.",
                    kinds=len(said),
                    pictures=len(pictures),
                    most=MOST_CONTROLS,
                )
            )
        added = (replace(one, picture=picture) for one, picture in zip(said, pictures, strict=True))
        return _referring(new, (*(one for one in new.request.references if not one.is_control), *added))


def _control(card: ModelCard, written: str) -> Reference:
    """One control, still without its picture."""
    found = _CONTROL.fullmatch(written)
    kind, *numbers = found.groups() if found else (written, None, None, None)
    if kind not in card.controls:
        raise BadOption(
            _(
                "The model {model} has no ControlNet for that; choose one of: {names}.",
                model=card.name,
                names=commas(card.controls) or "-",
            )
        )
    weight, start, end = (_number(text, usual) for text, usual in zip(numbers, (1.0, 0.0, 1.0), strict=True))
    if not LEAST_WEIGHT <= weight <= MOST_CONTROL_WEIGHT or not 0 <= start < end <= 1:
        raise BadOption(
            _(
                "A control has a weight from {least} to {most} and steps from 0 to 1, such as edges:0.8:0-0.6.",
                least=LEAST_WEIGHT,
                most=MOST_CONTROL_WEIGHT,
            )
        )
    return Reference(role=Role(kind), picture="", weight=weight, start=start, end=end)


def _written(one: Reference) -> str:
    if (one.start, one.end) != (0.0, 1.0):
        return f"{one.role}:{one.weight:g}:{one.start:g}-{one.end:g}"
    return str(one.role) if one.weight == 1.0 else f"{one.role}:{one.weight:g}"


def _number(text: str | None, usual: float) -> float:
    return usual if text is None else float(text.replace(",", "."))


def _pictures(value: str, most: int) -> list[str]:
    pictures = [one.strip() for one in value.split(",") if one.strip()]
    if len(pictures) > most:
        raise BadOption(_("That is too many pictures; give at most {most}.", most=most))
    return pictures


def _referring(new: NewJob, references: Iterable[Reference]) -> NewJob:
    return replace(new, request=replace(new.request, references=tuple(references)))
