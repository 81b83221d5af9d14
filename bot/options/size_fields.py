"""Where a request stores its size: as an aspect ratio or in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.options.fields import with_request
from limner.bot.translation import _
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

MAX_RATIO = 8
"""Most times that a picture's longer side may exceed its shorter side."""


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
        return with_request(new, width=width, height=height)


class Size:
    """Width and height in pixels."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> tuple[int, int]:
        """The size as painted, before postprocessing."""
        return request.width, request.height

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """As it is given."""
        check_ratio(_("size"), value)
        return with_request(new, width=value[0], height=value[1])


def check_ratio(what: str, sides: tuple[int, int]) -> None:
    """Raise BadOption if one side exceeds the other too many times."""
    if min(sides) < 1 or max(sides) > MAX_RATIO * min(sides):
        raise BadOption(
            _("The {what} is too narrow; neither side may be over {most} times the other.", what=what, most=MAX_RATIO)
        )
