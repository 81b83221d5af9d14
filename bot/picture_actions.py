"""Use cases: what is made of one picture of a posted request, each as a request of the member who asks."""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from limner.bot.errors import BadOption
from limner.bot.options import unsupported
from limner.bot.options.ask import MOST_PIXELS, Ask, find_card, read, weight_of
from limner.bot.options.flags import without_flags
from limner.bot.place import Where
from limner.bot.posted_pictures import check_posted, check_still, picture_of
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action, JobKind
from limner.bot.storage.tables.models import Image, Job
from limner.bot.submit import check_asker, submit, with_usual_expansion
from limner.bot.translation import N_, _
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.refused_references import usable_from_picture
from limner.generators.requests import ADJUSTMENTS, RESTORATIONS, SEEDS, Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings

PAN = 1.5
"""How many times as long a picture becomes where it is extended to one side."""
FINISHED = N_("Picture {number} of request {job} was finished, not painted; explain the one that it was made of.")
REFINED = N_("The pictures of request {job} were refined in rounds; explain one that was painted without refine.")
NO_RESTORATION = N_("There is no network here that restores drawings; choose another adjustment.")
WHOLLY = 1.0
"""The strength of what is painted anew inside a mask."""


@dataclass(frozen=True)
class Asker:
    """The member who asks, and where."""

    user_id: int
    locale: str
    where: Where


def varies(card: ModelCard) -> bool:
    """Whether a model paints variations of a picture."""
    return card.starts and not card.restyles and not card.edits


def editing_cards(settings: Settings, own: str) -> list[ModelCard]:
    """The models that change a picture as its words say; first the one named ``own``, if it is among them."""
    able = [card for card in settings.offered.values() if card.edits]
    return sorted(able, key=lambda card: card.name != own)


def extends(card: ModelCard) -> bool:
    """Whether a model paints what is beside a picture, so that the result is longer."""
    return card.masks and card.other_sizes


def check_varies(card: ModelCard) -> None:
    """Raise BadOption if a model paints no variations."""
    if not varies(card):
        raise BadOption(_("The model {model} cannot vary a picture; Reroll paints another one.", model=card.name))


async def vary(app: App, job: Job, number: int, asker: Asker, *, is_strong: bool) -> Job:
    """Paint a picture again from another seed, so that a little or much of it changes."""
    card = find_card(app.settings, job.request["model"])
    check_varies(card)
    strength = card.strong_strength if is_strong else card.subtle_strength
    action = Action.VARY_STRONG if is_strong else Action.VARY_SUBTLE
    return await submit(app, _from_picture(app, job, number, asker, action, strength=strength))


async def upscale(app: App, job: Job, number: int, asker: Asker, *, times: int) -> Job:
    """Upscale a picture; nothing is painted again."""
    picture = picture_of(job, number)
    check_upscale((picture.width, picture.height), times)
    return await _finish(app, job, number, asker, Action.UPSCALE, Finish(upscale=times))


async def adjust(app: App, job: Job, number: int, asker: Asker, *, names: tuple[str, ...] = ADJUSTMENTS) -> Job:
    """Make adjustments of a picture by their names; nothing is painted again."""
    picture = picture_of(job, number)
    check_adjust(app.settings, (picture.width, picture.height), names)
    return await _finish(app, job, number, asker, Action.ADJUST, Finish(adjustments=names))


def check_adjust(settings: Settings, size: tuple[int, int], names: Collection[str]) -> None:
    """Raise BadOption if a picture of this size cannot be adjusted so."""
    if not settings.restoration_model and not set(RESTORATIONS).isdisjoint(names):
        raise BadOption(_(NO_RESTORATION))
    if "double-drawing" in names:
        check_upscale(size, 2)


def check_upscale(size: tuple[int, int], times: int) -> None:
    """Raise BadOption if a picture cannot become so many times as wide and high."""
    if size[0] * size[1] * times**2 > MOST_PIXELS:
        raise BadOption(_("That picture is as large as pictures get here."))


async def explain(app: App, job: Job, number: int, asker: Asker) -> Job:
    """Paint a picture again to show which words drew what, and once more without the added words."""
    check_posted(job)
    if job.kind != JobKind.PAINT:
        raise BadOption(_(FINISHED, number=number, job=job.id))
    card = find_card(app.settings, job.request["model"])
    if why := unsupported.explaining(card):
        raise BadOption(why)
    if job.generation.refine:
        raise BadOption(_(REFINED, job=job.id))
    seed = picture_of(job, number).seed
    request = replace(
        GenerationRequest.from_json(job.request), num_images_per_prompt=1, keep=0, seed=seed, explained=True
    )
    new = made_of(app, job, number, asker, Action.EXPLAIN, request)
    return await submit(app, replace(new, kind=JobKind.EXPLAIN, prompt=job.prompt))


async def zoom_out(app: App, job: Job, number: int, asker: Asker, *, times: float) -> Job:
    """Paint what is around a picture, which becomes smaller: the result has the picture's size as painted."""
    new = _from_picture(app, job, number, asker, Action.ZOOM_OUT)
    width, height = new.request.size
    inner_width, inner_height = round(width / times), round(height / times)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return await submit(app, _extended(app, new, (left, top, left + inner_width, top + inner_height)))


async def pan(app: App, job: Job, number: int, asker: Asker, *, action: Action) -> Job:
    """Paint what is beside a picture: the result is half as long again in that direction.

    Where that is over the operator's limit of pixels, the whole becomes smaller.
    """
    new = _from_picture(app, job, number, asker, action)
    card = find_card(app.settings, new.request.model)
    if not card.other_sizes:
        raise BadOption(_("The model {model} paints one size only, so it extends no picture.", model=card.name))
    is_wide = action in (Action.PAN_LEFT, Action.PAN_RIGHT)
    width, height = _longer(new.request.size, is_wide, app.settings.max_pixels, card.multiple_of)
    kept = round((width if is_wide else height) / PAN)
    boxes = {
        Action.PAN_LEFT: (width - kept, 0, width, height),
        Action.PAN_RIGHT: (0, 0, kept, height),
        Action.PAN_UP: (0, height - kept, width, height),
        Action.PAN_DOWN: (0, 0, width, kept),
    }
    new = replace(new, request=replace(new.request, width=width, height=height))
    return await submit(app, _extended(app, new, boxes[action]))


def starting(app: App, job: Job, number: int, asker: Asker, text: str, strength: str) -> Ask:
    """What a member asks whose words are painted with a picture as the start; flags in the text win."""
    check_still(job)
    picture, request = picture_of(job, number), GenerationRequest.from_json(job.request)
    card = find_card(app.settings, request.model)
    return Ask(
        text=text,
        options={
            "model": card.name,
            "style": job.style,
            "image": picture.sha256,
            "strength": strength,
            "size": _size(card, request, picture),
        },
        image_name=f"{job.id}-{number}.png",
        is_spoiler=job.is_spoiler,
        user_id=asker.user_id,
        locale=asker.locale,
        where=asker.where,
    )


async def start_from(app: App, job: Job, number: int, ask: Ask) -> Job:
    """Paint what `starting` made of a picture of the job."""
    new = read(app, await with_usual_expansion(app, ask))
    new = replace(new, is_private=job.is_private or new.is_private)
    return await submit(app, replace(new, parent_id=job.id, parent_picture=number, action=Action.START))


async def instruct(app: App, job: Job, number: int, asker: Asker, text: str, model: str) -> Job:
    """Change a picture as the member's words say; its shape stays."""
    check_still(job)
    picture, card = picture_of(job, number), find_card(app.settings, model)
    if not card.edits:
        raise BadOption(_("The model {model} does not edit pictures by words; choose another model.", model=card.name))
    size = card.size((picture.width, picture.height)) if card.other_sizes else (card.width, card.height)
    options = {"model": card.name, "image": picture.sha256, "size": size}
    ask = Ask(
        text=text,
        options=options,
        image_name=f"{job.id}-{number}.png",
        is_spoiler=job.is_spoiler,
        user_id=asker.user_id,
        locale=asker.locale,
        where=asker.where,
    )
    new = replace(read(app, ask), is_private=job.is_private)
    return await submit(app, replace(new, parent_id=job.id, parent_picture=number, action=Action.INSTRUCT))


async def edit(
    app: App, job: Job, number: int, asker: Asker, text: str, mask: str | None, *, part: str = "", keeps_rest: bool
) -> Job:
    """Paint a part of a picture anew from the member's words as they are.

    ``mask`` is the stored mask's hash, or None with ``part``: words that name it, by which a worker finds it.
    """
    new = _from_picture(app, job, number, asker, Action.EDIT, strength=WHOLLY)
    check_masks(app.settings, find_card(app.settings, new.request.model))
    idea = without_flags(text, _("{flag} is a flag, and no flag counts here; leave it out.")) or job.idea
    request = replace(new.request, prompt=idea, mask=mask, part=part, keeps_rest=keeps_rest)
    return await submit(app, replace(new, idea=idea, request=request, prompt=None, expansion=None, expand="off"))


async def check_edit(app: App, job: Job, asker: Asker) -> None:
    """Check an edit as far as possible without its mask; raises UserError."""
    check_masks(app.settings, find_card(app.settings, job.request["model"]))
    await check_asker(app, Ask(text="", user_id=asker.user_id, where=asker.where))


def check_masks(settings: Settings, card: ModelCard) -> None:
    """Raise BadOption if a model paints no part of a picture; the sentence names one that does."""
    if not card.masks:
        able = next((name for name, other in settings.offered.items() if other.masks), "")
        instead = _("; Remix it with --model {model} first", model=able) if able else ""
        raise BadOption(
            _("The model {model} cannot paint a part of a picture{instead}.", model=card.name, instead=instead)
        )


async def _finish(app: App, job: Job, number: int, asker: Asker, action: Action, finish: Finish) -> Job:
    """Postprocess a picture of a request."""
    picture = picture_of(job, number)
    request = replace(
        GenerationRequest.from_json(job.request), num_images_per_prompt=1, keep=0, seed=picture.seed, finish=finish
    )
    return await submit(app, replace(made_of(app, job, number, asker, action, request), kind=JobKind.FINISH))


def _extended(app: App, new: NewJob, box: tuple[int, int, int, int]) -> NewJob:
    """The request with the picture in a box on its canvas, which its control pictures do not fit any more."""
    check_masks(app.settings, find_card(app.settings, new.request.model))
    references = tuple(one for one in new.request.references if not one.is_control)
    return replace(new, request=replace(new.request, box=box, strength=WHOLLY, references=references))


def _longer(size: tuple[int, int], is_wide: bool, most: int, step: int) -> tuple[int, int]:
    """A size that is longer to one side, within so many pixels and in multiples of ``step``."""
    across, down = (size[0] * PAN, size[1]) if is_wide else (size[0], size[1] * PAN)
    scale = min(1.0, (most / (across * down)) ** 0.5)
    width, height = (max(step, int(side * scale) // step * step) for side in (across, down))
    return width, height


def _from_picture(
    app: App, job: Job, number: int, asker: Asker, action: Action, *, strength: float | None = None
) -> NewJob:
    """A request that starts from the picture, with the same words and another seed."""
    picture, request = picture_of(job, number), GenerationRequest.from_json(job.request)
    card = find_card(app.settings, request.model)
    width, height = _size(card, request, picture)
    request = replace(
        request,
        references=usable_from_picture(card, request.references),
        width=width,
        height=height,
        num_images_per_prompt=1,
        keep=0,
        refine=0,
        seed=secrets.randbelow(SEEDS),
        init_image=picture.sha256,
        mask=None,
        part="",
        box=None,
        strength=strength,
        num_inference_steps=max(request.num_inference_steps, math.ceil(1 / (strength or 1))),
        finish=None,
        steering=(),
        stop_after=None,
    )
    return made_of(app, job, number, asker, action, request)


def _size(card: ModelCard, request: GenerationRequest, picture: Image) -> tuple[int, int]:
    """The size as painted, or the model's own size of the picture's shape if it was cropped or is too small for it."""
    is_cropped = picture.width * request.height != picture.height * request.width
    return card.size((picture.width, picture.height)) if is_cropped and card.other_sizes else card.room(request.size)


def made_of(app: App, job: Job, number: int, asker: Asker, action: Action, request: GenerationRequest) -> NewJob:
    """A request of the member who asks, made of another request's picture and with its words."""
    check_still(job)
    return NewJob(
        idea=job.idea,
        request=request,
        style=job.style,
        expand="off" if job.expand == "off" else "on",
        prompt=job.generation.latest_prompt,
        expansion=job.expanded,
        is_private=job.is_private,
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
