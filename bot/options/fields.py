"""Where a request stores an option: written when the request is made, read for display and remix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from limner.bot.errors import BadOption, BadPrompt
from limner.bot.options.notes import SEEDED
from limner.bot.translation import N_, _
from limner.generators.requests import Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

NO_EFFECT = N_("The model {model} does nothing with the option {option}; leave it out.")

NO_READER = N_(
    "This bot has no model that reads pictures; leave out the option refine, or let the operator name one in the "
    "setting image_text_model."
)


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
        return with_request(new, **{self.name: value})


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
        return with_request(new, finish=None if finish == Finish() else finish)


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


class Refine(InRequest):
    """How often a request may be painted again for what is missing in its pictures."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> int | None:
        """The number of rounds, if there are any."""
        return super().get(job, request) or None

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The number of rounds, where a model can read pictures."""
        if value and not settings.image_text_model:
            raise BadOption(_(NO_READER))
        return super().put(new, value, settings)


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


class Count:
    """The number of pictures kept, from the operator's number of candidates for each."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> int:
        """The number of pictures kept."""
        return request.count

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As many samples as there are candidates."""
        candidates = settings.candidates_of(new.request.model)
        return with_request(new, num_images_per_prompt=value * candidates, keep=value if candidates > 1 else 0)


def with_request(new: NewJob, **changes: Any) -> NewJob:
    """The job with some fields of its request changed."""
    return replace(new, request=replace(new.request, **changes))
