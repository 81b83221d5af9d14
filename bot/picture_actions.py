"""Use cases: what is made of one picture of a posted request, each as a request of the member who asks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from limner.bot.ask import MOST_PIXELS, find_card, weight_of
from limner.bot.errors import BadOption, BadPicture
from limner.bot.place import Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action, JobKind
from limner.bot.storage.models import Image, Job
from limner.bot.submit import submit
from limner.bot.translation import _
from limner.generators.model_card import ModelCard
from limner.generators.requests import SEEDS, Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.app import App


@dataclass(frozen=True)
class Asker:
    """The member who asks, and where."""

    user_id: int
    locale: str
    where: Where


def picture_of(job: Job, number: int) -> Image:
    """Picture ``number`` of a request, counted from 1; raises BadPicture if it was deleted."""
    found = next((image for image in job.images if image.position == number - 1), None)
    if found is None:
        raise BadPicture(_("That picture was deleted; choose another one."))
    return found


async def vary(app: App, job: Job, number: int, asker: Asker, *, is_strong: bool) -> Job:
    """Paint a picture again from another seed, so that a little or much of it changes."""
    card = find_card(app.settings, job.request["model"])
    if card.restyles or not card.starts:
        raise BadOption(_("The model {model} cannot vary a picture; Reroll paints another one.", model=card.name))
    strength = card.strong_strength if is_strong else card.subtle_strength
    action = Action.VARY_STRONG if is_strong else Action.VARY_SUBTLE
    return await submit(app, _from_picture(app, job, number, asker, action, strength=strength))


async def upscale(app: App, job: Job, number: int, asker: Asker, *, times: int) -> Job:
    """Upscale a picture; nothing is painted again."""
    picture = picture_of(job, number)
    if picture.width * picture.height * times**2 > MOST_PIXELS:
        raise BadOption(_("That picture is as large as pictures get here."))
    request = replace(
        GenerationRequest.from_json(job.request),
        num_images_per_prompt=1,
        keep=0,
        seed=picture.seed,
        finish=Finish(upscale=times),
    )
    return await submit(app, replace(_made_of(app, job, number, asker, Action.UPSCALE, request), kind=JobKind.FINISH))


def _from_picture(
    app: App, job: Job, number: int, asker: Asker, action: Action, *, strength: float | None = None
) -> NewJob:
    """A request that starts from the picture, with the same words and another seed."""
    picture, request = picture_of(job, number), GenerationRequest.from_json(job.request)
    width, height = _size(find_card(app.settings, request.model), request, picture)
    request = replace(
        request,
        width=width,
        height=height,
        num_images_per_prompt=1,
        keep=0,
        seed=secrets.randbelow(SEEDS),
        init_image=picture.sha256,
        mask=None,
        strength=strength,
        finish=None,
        steering=(),
        stop_after=None,
    )
    return _made_of(app, job, number, asker, action, request)


def _size(card: ModelCard, request: GenerationRequest, picture: Image) -> tuple[int, int]:
    """The size as painted, or the model's own size of the picture's shape if it was cropped."""
    is_cropped = picture.width * request.height != picture.height * request.width
    return card.size((picture.width, picture.height)) if is_cropped and card.other_sizes else request.size


def _made_of(app: App, job: Job, number: int, asker: Asker, action: Action, request: GenerationRequest) -> NewJob:
    """A request of the member who asks, made of another request's picture and with its words."""
    return NewJob(
        idea=job.idea,
        request=request,
        style=job.style,
        expand="off" if job.expand == "off" else "on",
        prompt=job.generation.latest_prompt,
        expansion=job.expanded,
        is_spoiler=job.is_spoiler,
        input_name=f"{job.id}-{number}.png" if request.init_image else "",
        user_id=asker.user_id,
        locale=asker.locale,
        where=asker.where,
        weight=weight_of(app.settings, asker.where.role_ids),
        parent_id=job.id,
        parent_picture=number,
        action=action,
    )
