"""What a member asks for: read from options and flags, and checked against the limits and the model's card."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption, BadPrompt, UnknownModel
from limner.bot.flags import ASPECTS, ParsedPrompt, clean, parse_prompt, without_flags
from limner.bot.limits import named, some
from limner.bot.notes import LEFT_OUT
from limner.bot.place import OUTSIDE, Where
from limner.bot.queue.jobs import NewJob
from limner.generators.base import SEEDS, Finish, GenerationRequest, ModelCard

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
    where: Where = OUTSIDE
    locale: str = "en-US"


def read(app: App, ask: Ask) -> NewJob:
    """Understand what was typed and chosen; raises UserError with one sentence about what to change."""
    settings = app.settings
    typed = parse_prompt(ask.text, max_length=settings.max_prompt_length)
    card = find_card(settings, ask.model)
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
    return new_job(settings, ask, typed.idea, request, style=style.name, expand=expand)


def new_job(settings: Settings, ask: Ask, idea: str, request: GenerationRequest, **more: Any) -> NewJob:
    """A request of whoever asks, and where."""
    return NewJob(
        idea=idea,
        request=request,
        user_id=ask.user_id,
        where=ask.where,
        locale=ask.locale,
        weight=weight_of(settings, ask.where.role_ids),
        input_name=ask.image_name[:MAX_NAME],
        is_spoiler=ask.is_spoiler,
        **more,
    )


def as_model_leaves_out(app: App, card: ModelCard, new: NewJob) -> NewJob:
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


def find_card(settings: Settings, name: str) -> ModelCard:
    """The card of a model on offer, the default one for an empty name; raises UnknownModel."""
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


def check_limits(settings: Settings, card: ModelCard, request: GenerationRequest) -> None:
    """Raise BadOption if a request is beyond what the operator allows or the model can do."""
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


def weight_of(settings: Settings, role_ids: Sequence[int]) -> float:
    """How many turns a member of these roles has: the most that one of the roles gives."""
    weights = settings.weights_of_roles
    return max((weights[role_id] for role_id in role_ids if role_id in weights), default=1.0)
