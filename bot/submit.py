"""One request comes in: limits, filter, queue. Milliseconds, and no model."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption, BadPrompt, CannotDescribe, Refused, UnknownModel
from limner.bot.flags import ASPECTS, ParsedPrompt, clean, parse_prompt, without_flags
from limner.bot.limits import named, some
from limner.bot.moderation import apply_verdict
from limner.bot.moderation.evasion import keep_back_respelled
from limner.bot.moderation.refusals import check_refusals
from limner.bot.notes import LEFT_OUT
from limner.bot.place import Where
from limner.bot.queue.jobs import NewJob
from limner.bot.reasons import HoldReason
from limner.bot.storage.models import Job, JobKind, JobStatus
from limner.generators.base import SEEDS, Expansion, Finish, GenerationRequest, ModelCard

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings

EXPAND = ("on", "off", "preview")
MAX_GUIDANCE = 30
MAX_LORA_WEIGHT = 2
LEAST_STRENGTH = 0.05
MAX_NAME = 200
"""Characters that are kept of a file name."""
MAX_RATIO = 8
"""How many times as long as the other a side of a picture may be."""
MOST_UPSCALE = 4
NOT_YET = "not yet"
"""Stands for the hash of a picture that is not here yet; no row has it."""
MOST_PIXELS = 4096 * 4096
"""Width times height of a finished picture."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a member typed and chose, before anything is checked; flags in the text win over options."""

    text: str
    negative: str = ""
    aspect: str = ""
    size: tuple[int, int] | None = None
    count: int = 1
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    style: str = ""
    model: str = ""
    lora: str = ""
    upscale: int = 1
    expand: str = "on"
    #: The picture to start from, in the store, what its file was called, and how much of it may change.
    image: str | None = None
    image_name: str = ""
    strength: float | None = None
    #: Whether what comes of it is posted hidden whatever rules say: the picture was given so.
    is_spoiler: bool = False
    user_id: int = 0
    guild_id: int | None = None
    channel_id: int | None = None
    parent_ids: Sequence[int] = ()
    role_ids: Sequence[int] = ()
    is_age_restricted: bool = False
    locale: str = "en-US"


async def imagine(app: App, ask: Ask) -> Job:
    """Paint what a member asks for."""
    return await submit(app, read(app, ask))


async def reroll(app: App, job: Job, *, user_id: int, where: Where | None = None) -> Job:
    """Paint the same prompt from another seed; the expansion is not made again."""
    request = replace(GenerationRequest.from_json(job.request), seed=secrets.randbelow(SEEDS))
    again = _again(app, job, user_id, where or job.where)
    return await submit(app, replace(again, request=request, prompt=job.prompt, expansion=job.expanded))


async def repeat(app: App, job: Job, *, where: Where) -> Job:
    """Paint a request again where its owner is now; the same seed gives the same pictures."""
    again = _again(app, job, job.user_id, where)
    return await submit(app, replace(again, prompt=job.prompt, expansion=job.expanded))


async def repeat_raw(app: App, job: Job, *, user_id: int, where: Where | None = None) -> Job:
    """Paint the same idea with the same seed, without the language model."""
    return await submit(app, replace(_again(app, job, user_id, where or job.where), expand="off"))


async def restyle(app: App, job: Job, number: int, model: str, *, user_id: int, where: Where) -> Job:
    """Let a model that changes pictures change picture ``number`` of a request (the first is 1), in its own size."""
    check_posted(job)
    card, picture = _card(app.settings, model), job.images[number - 1]
    request = GenerationRequest(
        prompt=job.idea,
        model=card.name,
        width=picture.width // card.multiple_of * card.multiple_of,
        height=picture.height // card.multiple_of * card.multiple_of,
        num_inference_steps=card.num_inference_steps,
        guidance_scale=card.guidance_scale,
        seed=picture.seed,
        init_image=picture.sha256,
    )
    name = f"{job.id}-{number}.png"
    again = replace(_again(app, job, user_id, where), is_spoiler=job.is_spoiler)
    return await submit(app, replace(again, request=request, style="", expand="off", input_name=name))


async def remix(app: App, job: Job, text: str, negative: str, *, user_id: int, where: Where) -> Job:
    """Paint a changed idea with the seed and the settings of another request; flags in the text win over these."""
    request = GenerationRequest.from_json(job.request)
    ask = Ask(
        text=text,
        negative=negative,
        size=(request.width, request.height),
        count=request.count,
        seed=request.seed,
        steps=request.num_inference_steps,
        guidance=request.guidance_scale,
        style=job.style,
        model=request.model,
        lora=request.worn,
        expand="on" if job.expand == "preview" else job.expand,
        image=request.init_image,
        image_name=job.input_name,
        strength=request.strength,
        is_spoiler=job.is_spoiler and request.is_from_picture,
        user_id=user_id,
        locale=job.locale,
        **vars(where),
    )
    new = read(app, ask)
    finish = new.request.finish or request.finish
    return await submit(app, replace(new, parent_id=job.id, request=replace(new.request, finish=finish)))


async def upscale(app: App, job: Job, *, user_id: int, where: Where) -> Job:
    """Make a request's pictures twice as wide and high; nothing is painted again."""
    check_posted(job)
    if any(image.width * image.height * 4 > MOST_PIXELS for image in job.images):
        raise BadOption("That picture is as large as pictures get here.")
    request = replace(GenerationRequest.from_json(job.request), finish=Finish(upscale=2))
    again = replace(_again(app, job, user_id, where), is_spoiler=job.is_spoiler)
    return await submit(
        app, replace(again, kind=JobKind.FINISH, request=request, prompt=job.prompt, expansion=job.expanded)
    )


async def describe(app: App, ask: Ask) -> Job:
    """Put the picture ``ask.image`` into words."""
    settings, card = app.settings, app.settings.default_card
    if not settings.reader:
        raise CannotDescribe
    request = GenerationRequest(
        prompt="",
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=1,
        guidance_scale=0.0,
        seed=0,
        init_image=ask.image,
    )
    return await submit(app, _new(settings, ask, "", request, kind=JobKind.DESCRIBE, expand="off"))


async def paint_described(app: App, job: Job, *, user_id: int, where: Where) -> Job:
    """Paint what a picture was described as."""
    check_posted(job)
    ask = Ask(text=job.prompt or "", is_spoiler=job.is_spoiler, user_id=user_id, locale=job.locale, **vars(where))
    return await submit(app, replace(read(app, ask), parent_id=job.id))


async def choose(app: App, job: Job, expansion: Expansion, quarantine: HoldReason | None = None) -> bool:
    """Paint a held request with a text that its owner has chosen; False if one was chosen before.

    Raises:
        Suspended: its owner may not paint in its server at the moment.
    """
    await app.strikes.refuse_suspended(job.guild_id, job.user_id)
    prompt = app.styles.apply(job.style, expansion.text)
    return await app.jobs.release_held(job.id, expansion, prompt, quarantine)


async def choose_edited(app: App, job: Job, text: str) -> bool:
    """The same with the owner's own words, which are looked at as those of a new request are.

    Raises:
        UserError: as `submit`; a refusal by the filter is kept as a row, and what was held waits on.
    """
    await app.strikes.refuse_suspended(job.guild_id, job.user_id)
    said = replace(GenerationRequest.from_json(job.request), prompt=text)
    new = replace(_again(app, job, job.user_id, job.where), idea=text, request=said, expand="off")
    new = await keep_back_respelled(app, await _as_rules_want_it(app, new))
    expansion = Expansion(new.idea, apply_verdict.added_to(job.idea, new.idea), (), "", 0.0)
    return await choose(app, job, expansion, new.quarantine)


def check_posted(job: Job) -> None:
    """Nothing is made of pictures that are not posted (yet); raises BadOption."""
    if job.status != JobStatus.SUCCEEDED or job.quarantine:
        raise BadOption("What came of that request is not posted yet, so nothing can be made of it.")


async def check(app: App, ask: Ask) -> None:
    """Refuse a request to paint from a picture, as far as it can be told before the picture is looked at.

    Raises:
        UserError: it would be refused whatever the picture shows, and why.
    """
    new = read(app, replace(ask, image=NOT_YET))
    card = _card(app.settings, new.request.model)
    _check_limits(app.settings, card, new.request)
    _as_model_leaves_out(app, card, new)
    await check_asker(app, ask)


async def check_asker(app: App, ask: Ask) -> None:
    """Raise the UserError that keeps a member from asking for anything there now: a suspension, or a full queue."""
    await app.strikes.refuse_suspended(ask.guild_id, ask.user_id)
    limits = app.settings
    await app.jobs.check_room(
        ask.user_id, ask.guild_id, per_user=limits.max_jobs_per_user, per_guild=limits.max_jobs_per_guild
    )


async def submit(app: App, new: NewJob) -> Job:
    """Accept a request: whatever its origin, this is the only way into the queue.

    Raises:
        UserError: it is refused, and why; a refusal by the filter is kept as a row.
    """
    limits = app.settings
    if new.kind == JobKind.PAINT:
        card = _card(limits, new.request.model)
        _check_limits(limits, card, new.request)
        new = _as_model_leaves_out(app, card, new)
    await app.strikes.refuse_suspended(new.guild_id, new.user_id)
    new = await _as_rules_want_it(app, new)
    new = await keep_back_respelled(app, new)
    if new.user_id == 0:
        return await app.jobs.enqueue(new)
    return await app.jobs.enqueue(new, per_user=limits.max_jobs_per_user, per_guild=limits.max_jobs_per_guild)


def read(app: App, ask: Ask) -> NewJob:
    """Understand what was typed and chosen; raises UserError with one sentence about what to change."""
    settings = app.settings
    typed = parse_prompt(ask.text, max_length=settings.max_prompt_length)
    card = _card(settings, ask.model)
    style = app.styles.find(typed.style or ask.style)
    width, height = _size(settings, card, ask, typed)
    count, candidates = _first(typed.count, ask.count), settings.candidates_of(card.name)
    request = GenerationRequest(
        prompt=typed.idea,
        negative_prompt=", ".join(filter(None, (_negative(settings, ask, typed), style.negative))),
        model=card.name,
        width=width,
        height=height,
        num_inference_steps=_first(typed.steps, ask.steps, min(card.num_inference_steps, settings.max_steps)),
        guidance_scale=card.guidance_scale if ask.guidance is None else ask.guidance,
        num_images_per_prompt=count * candidates,
        keep=count if candidates > 1 else 0,
        finish=_finish(ask, typed),
        seed=_first(typed.seed, ask.seed, secrets.randbelow(SEEDS)),
        loras=_loras(card, clean(ask.lora)),
        init_image=ask.image,
        strength=ask.strength if ask.image else None,
    )
    expand = "off" if typed.raw else _one_of("expand", ask.expand, EXPAND)
    return _new(settings, ask, typed.idea, request, style=style.name, expand=expand)


def _new(settings: Settings, ask: Ask, idea: str, request: GenerationRequest, **more: Any) -> NewJob:
    """A request of whoever asks, and where."""
    return NewJob(
        idea=idea,
        request=request,
        user_id=ask.user_id,
        guild_id=ask.guild_id,
        channel_id=ask.channel_id,
        parent_ids=tuple(ask.parent_ids),
        role_ids=tuple(ask.role_ids),
        is_age_restricted=ask.is_age_restricted,
        locale=ask.locale,
        weight=_weight(settings, ask.role_ids),
        input_name=ask.image_name[:MAX_NAME],
        is_spoiler=ask.is_spoiler,
        **more,
    )


def _as_model_leaves_out(app: App, card: ModelCard, new: NewJob) -> NewJob:
    """The request without what only its style does not want, if the model leaves nothing out.

    Raises:
        BadOption: the member does not want something, and the model cannot leave it out.
    """
    request = new.request
    if not request.negative_prompt or card.can_leave_out(request.guidance_scale):
        return new
    if app.styles.own_negative(new.style, request.negative_prompt):
        if card.leaves_out:
            raise BadOption(
                f"The model {card.name} leaves something out only with a guidance over 1; ask again with more "
                "guidance, or without a negative prompt (--no)."
            )
        others = [name for name, other in app.settings.offered.items() if other.leaves_out and not other.needs_picture]
        instead = f", or with the model {others[0]}" if others else ""
        raise BadOption(
            f"The model {card.name} cannot leave things out; ask again without a negative prompt (--no){instead}."
        )
    return replace(new, request=replace(request, negative_prompt=""), notes={**new.notes, LEFT_OUT: True})


async def _as_rules_want_it(app: App, new: NewJob) -> NewJob:
    expansion = new.expansion.text if new.expansion else ""
    painted = new.prompt or app.styles.find(new.style).text
    texts = apply_verdict.texts(new.idea, new.request, expansion, painted, new.input_name)
    verdict = await app.filters.check(new.where, texts)
    if verdict.refusal:
        await check_refusals(app, new)
        refused = apply_verdict.remember(new, verdict)
        job = await app.jobs.log_refusal(refused, verdict.refusal.code, verdict.refusal.sentence)
        raise Refused(verdict.refusal.sentence, job)
    return apply_verdict.obeyed(new, verdict)


def _card(settings: Settings, name: str) -> ModelCard:
    meant = named(name, settings.cards)
    card = settings.cards.get(meant or "") if name else settings.default_card
    if card and not card.problem:
        return card
    offered = f"choose one of: {some(settings.offered)}" if settings.offered else "no other one is offered"
    if card:
        raise UnknownModel(f"The model {card.name} {card.problem}; {offered}.")
    raise UnknownModel(f"That model is not offered here; {offered}.")


def _loras(card: ModelCard, typed: str) -> tuple[tuple[str, float], ...]:
    """The LoRA of that name with its weight; none for an empty text."""
    if not typed:
        return ()
    name, colon, weight = typed.rpartition(":") if ":" in typed else (typed, "", "")
    meant = named(name.strip(), card.loras)
    if meant is None:
        offered = f"choose one of: {some(card.loras)}" if card.loras else "ask without one"
        raise BadOption(f"The model {card.name} has no LoRA of that name; {offered}.")
    if colon and not (re.fullmatch(r" *\d([.,]\d{1,3})? *", weight) and _number(weight) <= MAX_LORA_WEIGHT):
        raise BadOption(f"The weight of a LoRA must be from 0 to {MAX_LORA_WEIGHT}, such as ink:0.7.")
    return ((meant, _number(weight) if colon else 1.0),)


def _number(text: str) -> float:
    """A number with a decimal point or comma."""
    return float(text.replace(",", "."))


def _negative(settings: Settings, ask: Ask, typed: ParsedPrompt) -> str:
    negative = ", ".join(filter(None, (clean(ask.negative), typed.negative)))
    if len(negative) > settings.max_prompt_length:
        raise BadPrompt(f"The negative prompt is longer than {settings.max_prompt_length} characters; shorten it.")
    without_flags(ask.negative, "it belongs into the prompt, not into the negative one; move it")
    return negative


def _size(settings: Settings, card: ModelCard, ask: Ask, typed: ParsedPrompt) -> tuple[int, int]:
    """The size asked for, or the largest of the model's own area that has the aspect ratio and is allowed."""
    if ask.size and not typed.aspect:
        _check_ratio("size", ask.size)
        return ask.size
    aspect = typed.aspect or (card.width, card.height)
    if ask.aspect and not typed.aspect:
        aspect = ASPECTS[_one_of("aspect", ask.aspect, ASPECTS)]
    _check_ratio("aspect ratio", aspect)
    if not card.other_sizes and aspect[0] * card.height != aspect[1] * card.width:
        raise BadOption(f"The model {card.name} paints {card.width}x{card.height} only; leave out the aspect ratio.")
    width, height = card.size(aspect)
    while width * height > settings.max_pixels and max(width, height) > card.multiple_of:
        if width >= height:
            width -= card.multiple_of
        else:
            height -= card.multiple_of
    return width, height


def _check_ratio(what: str, sides: tuple[int, int]) -> None:
    if min(sides) < 1 or max(sides) > MAX_RATIO * min(sides):
        raise BadOption(f"The {what} is too narrow; neither side may be over {MAX_RATIO} times the other.")


def _finish(ask: Ask, typed: ParsedPrompt) -> Finish | None:
    """What is to be done to the pictures; None for nothing."""
    asked: dict[str, Any] = {
        "crop": typed.crop,
        "upscale": _first(typed.upscale, ask.upscale),
        "resize": typed.resize,
        "colour": typed.colour,
        "sharpness": typed.sharpen,
    }
    finish = Finish(**{name: value for name, value in asked.items() if value is not None})
    return finish if finish != Finish() else None


def _check_finish(request: GenerationRequest, finish: Finish) -> None:
    _within("upscale", finish.upscale, 1, MOST_UPSCALE)
    _within("colour", finish.colour, 0, 3)
    _within("sharpness", finish.sharpness, 0, 5)
    for sides in filter(None, (finish.crop, finish.resize)):
        _check_ratio("crop" if sides == finish.crop else "size", sides)
    width, height = finish.size(request.width, request.height)
    if width * height > MOST_PIXELS:
        raise BadOption(f"The finished picture would be over {MOST_PIXELS} pixels; ask for a smaller one.")


def _check_limits(settings: Settings, card: ModelCard, request: GenerationRequest) -> None:
    _within("seed", request.seed, 0, SEEDS - 1)
    _within("number of steps", request.num_inference_steps, 1, settings.max_steps)
    _within("number of pictures", request.count, 1, settings.max_count)
    if request.strength is not None:
        _within("strength", request.strength, LEAST_STRENGTH, 1)
    if card.needs_picture and not request.init_image:
        raise BadOption(f"The model {card.name} changes pictures; give it one with the option image.")
    if request.init_image and not card.starts:
        raise BadOption(f"The model {card.name} cannot start from a picture; ask again with words only.")
    _within("guidance", request.guidance_scale, 0, MAX_GUIDANCE)
    if request.width * request.height > settings.max_pixels:
        raise BadOption(f"That size is over the limit of {settings.max_pixels} pixels; ask for a smaller one.")
    if request.width % card.multiple_of or request.height % card.multiple_of:
        raise BadOption(f"Width and height must be multiples of {card.multiple_of} for the model {card.name}.")
    if request.finish:
        _check_finish(request, request.finish)


def _within(what: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadOption(f"The {what} must be from {least} to {most}.")


def _one_of(name: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        raise BadOption(f"The option {name} must be one of {', '.join(choices)}.")
    return value


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _weight(settings: Settings, role_ids: Sequence[int]) -> float:
    """How many turns a member of these roles has: the most that one of the roles gives."""
    weights = settings.weights_of_roles
    return max((weights[role_id] for role_id in role_ids if role_id in weights), default=1.0)


def _again(app: App, job: Job, user_id: int, where: Where) -> NewJob:
    """The same request; what comes of a hidden picture is hidden, what comes of words alone is for the rules to say."""
    request = GenerationRequest.from_json(job.request)
    return NewJob(
        idea=job.idea,
        request=request,
        is_spoiler=job.is_spoiler and request.is_from_picture,
        style=job.style,
        expand="on" if job.expand == "preview" else job.expand,
        user_id=user_id,
        locale=job.locale,
        weight=_weight(app.settings, where.role_ids),
        parent_id=job.id,
        input_name=job.input_name,
        **vars(where),
    )
