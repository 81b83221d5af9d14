"""Where a request keeps an option: its value is written when it is asked for, and read back to be shown or remixed."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from limner.bot.errors import BadOption, BadPrompt
from limner.bot.limits import named, some
from limner.bot.translation import _, commas
from limner.generators.base import Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.models import Job

MAX_LORA_WEIGHT = 2
MAX_RATIO = 8
"""How many times as long as the other a side of a picture may be."""


class Field(Protocol):
    """One place in a request; what it holds is the option's value."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The value that a job's request has; None or empty if the option was not used."""
        ...

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The job with the value; its model is known. Raises UserError if it cannot be had."""
        ...


@dataclass(frozen=True)
class InRequest:
    """A field of `GenerationRequest`."""

    name: str

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The field."""
        return getattr(request, self.name)

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The field as it is given."""
        return _asking(new, **{self.name: value})


@dataclass(frozen=True)
class InFinish:
    """A field of `Finish`; not used where it changes nothing."""

    name: str

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The field, if it changes something."""
        value = getattr(request.finish, self.name, None)
        return None if value == getattr(Finish(), self.name) else value

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The field beside the others; no `Finish` at all where nothing is left to do."""
        finish = replace(new.request.finish or Finish(), **{self.name: value})
        return _asking(new, finish=None if finish == Finish() else finish)


@dataclass(frozen=True)
class InJob:
    """A column of the job."""

    name: str

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The column."""
        return getattr(job, self.name)

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The column as it is given."""
        return replace(new, **{self.name: value})


class Negative(InRequest):
    """The negative prompt, together with the style's."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The member's own part of it."""
        if len(value) > settings.max_prompt_length:
            sentence = _(
                "The negative prompt is longer than {most} characters; shorten it.", most=settings.max_prompt_length
            )
            raise BadPrompt(sentence)
        return super().put(new, value, settings)


class Sampler(InRequest):
    """One of the model's samplers, by its name here or as other programs write it: DPM++ 2M Karras."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The sampler of that name."""
        card = settings.cards[new.request.model]
        name = "_".join(re.split(r"[\s_-]+", value.casefold().replace("++", "pp")))
        if not card.samplers:
            raise BadOption(
                _("The model {model} paints with its own sampler only; leave out the option sampler.", model=card.name)
            )
        if name not in card.samplers:
            close = difflib.get_close_matches(name[:64], card.samplers, n=1)
            nearest = _("what comes nearest is {name}; ", name=close[0]) if close else ""
            raise BadOption(
                _(
                    "The model {model} has no sampler of that name; {nearest}choose one of: {names}.",
                    model=card.name,
                    nearest=nearest,
                    names=commas(card.samplers),
                )
            )
        return super().put(new, name, settings)


class Count:
    """How many pictures are kept, of the candidates that the operator wants for each."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> int:
        """The pictures that are kept."""
        return request.count

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As many samples as there are candidates."""
        candidates = settings.candidates_of(new.request.model)
        return _asking(new, num_images_per_prompt=value * candidates, keep=value if candidates > 1 else 0)


class Aspect:
    """An aspect ratio: it is kept as the size that comes of it."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> None:
        """Nothing: the size says it."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The largest size of the model's own area that has the aspect ratio and is allowed."""
        card = settings.cards[new.request.model]
        check_ratio(_("aspect ratio"), value)
        width, height = card.width, card.height
        if not card.other_sizes and value[0] * height != value[1] * width:
            sentence = _(
                "The model {model} paints {size} only; leave out the aspect ratio.",
                model=card.name,
                size=f"{width}x{height}",
            )
            raise BadOption(sentence)
        width, height = card.size(value)
        while width * height > settings.max_pixels and max(width, height) > card.multiple_of:
            if width >= height:
                width -= card.multiple_of
            else:
                height -= card.multiple_of
        return _asking(new, width=width, height=height)


class Size:
    """Width and height in pixels."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> tuple[int, int]:
        """As it is painted, before anything else is done to it."""
        return request.width, request.height

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As it is given."""
        check_ratio(_("size"), value)
        return _asking(new, width=value[0], height=value[1])


class Lora:
    """A LoRA with its weight, as people write it: ink:0.7."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """As people write it."""
        return request.worn

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The model's LoRA of that name, with the weight 1 if none is written."""
        card = settings.cards[new.request.model]
        name, colon, weight = value.rpartition(":") if ":" in value else (value, "", "")
        meant = named(name.strip(), card.loras)
        if meant is None:
            offered = _("choose one of: {names}", names=some(card.loras)) if card.loras else _("ask without one")
            raise BadOption(
                _("The model {model} has no LoRA of that name; {offered}.", model=card.name, offered=offered)
            )
        if colon and not (re.fullmatch(r" *\d([.,]\d{1,3})? *", weight) and _number(weight) <= MAX_LORA_WEIGHT):
            raise BadOption(_("The weight of a LoRA must be from 0 to {most}, such as ink:0.7.", most=MAX_LORA_WEIGHT))
        return _asking(new, loras=((meant, _number(weight) if colon else 1.0),))


def check_ratio(what: str, sides: tuple[int, int]) -> None:
    """Raise BadOption if one side is too many times as long as the other."""
    if min(sides) < 1 or max(sides) > MAX_RATIO * min(sides):
        raise BadOption(
            _("The {what} is too narrow; neither side may be over {most} times the other.", what=what, most=MAX_RATIO)
        )


def _asking(new: NewJob, **more: Any) -> NewJob:
    return replace(new, request=replace(new.request, **more))


def _number(text: str) -> float:
    """A number with a decimal point or comma."""
    return float(text.replace(",", "."))
