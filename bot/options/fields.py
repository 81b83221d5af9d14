"""Where a request stores an option: written when the request is made, read for display and remix."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from limner.bot.errors import BadOption, BadPrompt
from limner.bot.limits import named, some
from limner.bot.options.notes import SEEDED
from limner.bot.translation import N_, _, commas
from limner.generators.model_card import ModelCard
from limner.generators.qualities import STANDARD, quality
from limner.generators.requests import Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

MAX_LORA_WEIGHT = 2
MOST_LORAS = 5
"""LoRAs of one request."""
_NEXT_LORA = re.compile(r"[,，、](?!\d{1,3}\s*(?:$|[,，、]))")
"""A comma between two LoRAs, not the decimal comma of a weight."""
NO_EFFECT = N_("The model {model} does nothing with the option {option}; leave it out.")
NO_LORAS = N_("The model {model} takes no LoRA; ask again without one.")
MAX_RATIO = 8
"""Most times that a picture's longer side may exceed its shorter side."""


class Field(Protocol):
    """The place in a request that stores an option's value."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The option's value in a job's request; None or empty if it was not used."""
        ...

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The job with the value stored; its model is known. Raises UserError if the value is impossible."""
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
    """A field of `Finish`; unused where it has no effect."""

    name: str

    def get(self, job: Job | NewJob, request: GenerationRequest) -> Any:
        """The field's value if it has an effect."""
        value = getattr(request.finish, self.name, None)
        return None if value == getattr(Finish(), self.name) else value

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The field beside the others; no `Finish` where nothing is left to do."""
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


class Private(InJob):
    """Whether only the member sees the answer."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """On, or empty."""
        return "on" if super().get(job, request) else ""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """True."""
        return super().put(new, True, settings)


class Nowhere:
    """An option about the asking, which no request stores."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> None:
        """None: a request is one of them."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The request as it is; `bot.options.several` or `bot.ui` reads the option."""
        return new


class Negative(InRequest):
    """The negative prompt, joined with the style's."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The member's own part of it."""
        if len(value) > settings.max_prompt_length:
            sentence = _(
                "The negative prompt is longer than {most} characters; shorten it.", most=settings.max_prompt_length
            )
            raise BadPrompt(sentence)
        return super().put(new, value, settings)


@dataclass(frozen=True)
class Tuned(InRequest):
    """A number that every model has a value for, and that not every model uses: ``is_used`` names the card's field."""

    is_used: str

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The field as it is given; the model's own value where the model does not use it."""
        card = settings.cards[new.request.model]
        if not getattr(card, self.is_used) and value != getattr(card, self.name):
            option = "steps" if self.name == "num_inference_steps" else "guidance"
            raise BadOption(_(NO_EFFECT, model=card.name, option=option))
        return super().put(new, value, settings)


class Seed(InRequest):
    """The seed; an images server may not take it, so the row says that a member chose it."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The seed as it is given."""
        new = super().put(new, value, settings)
        is_remote = settings.cards[new.request.model].server is not None
        return replace(new, notes={**new.notes, SEEDED: True}) if is_remote else new


class Switch(InRequest):
    """A field that is true when the option is on."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """On, or empty."""
        return "on" if super().get(job, request) else ""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """True."""
        return super().put(new, True, settings)


class SamplerField(InRequest):
    """One of the model's samplers, by its name here or in other programs: DPM++ 2M Karras."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The sampler with that name."""
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


class InQuality(InRequest):
    """A quality: the model's steps, size and sampler for it; `Aspect` comes before, and what is chosen singly after."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str | None:
        """The quality, if it is not the standard one."""
        return None if request.quality == STANDARD else request.quality

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The quality's steps, scaled size, sampler, guidance and LoRA, in place of those of the quality before."""
        card, request = settings.cards[new.request.model], new.request
        before, meant = quality(card, request.quality), quality(card, value)
        width, height = (
            max(1, round(side * meant.scale / card.multiple_of)) * card.multiple_of for side in request.size
        )
        steps = min(meant.num_inference_steps, settings.max_steps)
        sides = {"width": width, "height": height} if meant.scale != 1 else {}
        own = before.guidance_scale is not None or meant.guidance_scale is not None
        guidance = (card.guidance_scale if meant.guidance_scale is None else meant.guidance_scale) if own else None
        more = sides if guidance is None else {**sides, "guidance_scale": guidance}
        loras = _with_few_steps(tuple(one for one in request.loras if one[0] != before.lora), meant.lora)
        return _asking(new, quality=value, num_inference_steps=steps, scheduler=meant.scheduler, loras=loras, **more)


class Count:
    """The number of pictures kept, from the operator's number of candidates for each."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> int:
        """The number of pictures kept."""
        return request.count

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As many samples as there are candidates."""
        candidates = settings.candidates_of(new.request.model)
        return _asking(new, num_images_per_prompt=value * candidates, keep=value if candidates > 1 else 0)


class Aspect:
    """An aspect ratio, stored as the resulting size."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> None:
        """None: the size says it."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The largest allowed size of the model's area with that aspect ratio."""
        card = settings.cards[new.request.model]
        check_ratio(_("aspect ratio"), value)
        width, height = card.width, card.height
        if not card.other_sizes and value[0] * height != value[1] * width:
            size = f"{width}x{height}"
            raise BadOption(
                _("The model {model} paints {size} only; leave out the aspect ratio.", model=card.name, size=size)
            )
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
        """The size as painted, before postprocessing."""
        return request.width, request.height

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As it is given."""
        check_ratio(_("size"), value)
        return _asking(new, width=value[0], height=value[1])


class Lora:
    """LoRAs with their weights, written as ink:0.7 or ink:0.7, gold."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """The LoRAs in their written form."""
        return request.loras_text

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The model's LoRAs of these names, each with the weight 1 if none is written."""
        card = settings.cards[new.request.model]
        loras = tuple(_lora(card, part) for part in filter(None, map(str.strip, _NEXT_LORA.split(value))))
        if len(loras) > MOST_LORAS:
            raise BadOption(_("A picture takes at most {most} LoRAs; leave some out.", most=MOST_LORAS))
        if twice := next((name for name, _weight in loras if [one for one, _ in loras].count(name) > 1), None):
            raise BadOption(_("The LoRA {name} is named twice; name it once.", name=twice))
        return _asking(new, loras=_with_few_steps(loras, quality(card, new.request.quality).lora))


def _with_few_steps(loras: tuple[tuple[str, float], ...], name: str) -> tuple[tuple[str, float], ...]:
    """The LoRAs with the one of a quality, if it has one."""
    return loras if not name or name in dict(loras) else (*loras, (name, 1.0))


def check_loras(card: ModelCard, request: GenerationRequest) -> None:
    """Raise BadOption for a LoRA that the model does not have (any more)."""
    for name, _weight in request.loras:
        if name not in card.loras:
            raise _no_lora(card, name)


def check_ratio(what: str, sides: tuple[int, int]) -> None:
    """Raise BadOption if one side exceeds the other too many times."""
    if min(sides) < 1 or max(sides) > MAX_RATIO * min(sides):
        raise BadOption(
            _("The {what} is too narrow; neither side may be over {most} times the other.", what=what, most=MAX_RATIO)
        )


def _lora(card: ModelCard, written: str) -> tuple[str, float]:
    """One LoRA of the model, with its weight."""
    name, colon, weight = written.rpartition(":") if ":" in written else (written, "", "")
    meant = named(name.strip(), card.loras)
    if meant is None:
        raise _no_lora(card, name.strip())
    if colon and not (re.fullmatch(r" *\d([.,]\d{1,3})? *", weight) and _number(weight) <= MAX_LORA_WEIGHT):
        raise BadOption(_("The weight of a LoRA must be from 0 to {most}, such as ink:0.7.", most=MAX_LORA_WEIGHT))
    return meant, _number(weight) if colon else 1.0


def _no_lora(card: ModelCard, name: str) -> BadOption:
    if not card.takes_loras:
        return BadOption(_(NO_LORAS, model=card.name))
    close = difflib.get_close_matches(name[:64], card.loras, n=1)
    if close:
        offered = _("what comes nearest is {name}", name=close[0])
    else:
        offered = _("choose one of: {names}", names=some(card.loras)) if card.loras else _("ask without one")
    return BadOption(_("The model {model} has no LoRA of that name; {offered}.", model=card.name, offered=offered))


def _asking(new: NewJob, **more: Any) -> NewJob:
    return replace(new, request=replace(new.request, **more))


def _number(text: str) -> float:
    """A number with a decimal point or comma."""
    return float(text.replace(",", "."))
