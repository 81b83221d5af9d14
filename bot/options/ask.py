"""Reads a member's options and flags, and checks them against the limits and the model's card."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from limner.bot.errors import BadOption, UnknownModel
from limner.bot.limits import named, some
from limner.bot.options import unsupported
from limner.bot.options.declarations import OPTIONS, by_name, values
from limner.bot.options.fields import NO_EFFECT
from limner.bot.options.flags import clean, parse_prompt, without_flags
from limner.bot.options.model_fields import NO_LORAS, check_loras
from limner.bot.options.notes import LEFT_OUT, NO_LORA, TOO_LONG, UNUSED, in_vain, too_long
from limner.bot.options.option import OptionKind
from limner.bot.options.size_fields import check_ratio
from limner.bot.place import OUTSIDE, Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action
from limner.bot.server_styles import styles_at
from limner.bot.translation import N_, _, stored
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.refused_references import refused_together
from limner.generators.requests import SEEDS, Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings

MAX_NAME = 200
"""Characters of a file name that are kept."""
MOST_PIXELS = 4096 * 4096
"""Largest width times height of a finished picture."""


FLAG_IN_NEGATIVE = N_("{flag} is a flag, and it belongs into the prompt, not into the negative one; move it.")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A member's options, unchecked; flags in the text win over options."""

    text: str
    #: By the names of `bot.options.declarations.OPTIONS`, as typed or as values; the image as its hash in the store.
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: The input picture's file name.
    image_name: str = ""
    #: Whether the result is a spoiler whatever rules say, because the input picture was one.
    is_spoiler: bool = False
    #: The request that is remixed, if any.
    remix_of: int | None = None
    #: The stored pictures that the links of messages in the text stand for, by link.
    linked: Mapping[str, str] = field(default_factory=dict[str, str])
    user_id: int = 0
    where: Where = OUTSIDE
    locale: str = "en-US"
    #: Whether what the member usually chooses is among the options already.
    is_usual: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the member chose, without who and where; `from_json` reads it back."""
        return {
            "text": self.text,
            "options": dict(self.options),
            "image_name": self.image_name,
            "is_spoiler": self.is_spoiler,
            "locale": self.locale,
            "remix_of": self.remix_of,
            "linked": dict(self.linked),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, user_id: int, where: Where) -> Self:
        """The same request of a member at a place."""
        return cls(**data, user_id=user_id, where=where)

    def saying(self, **options: Any) -> Self:
        """A copy with these options added."""
        return replace(self, options={**self.options, **options})


def read(app: App, ask: Ask) -> NewJob:
    """Parse and check the options; raises UserError with one sentence about what to change."""
    settings = app.settings
    typed = parse_prompt(ask.text, max_length=settings.max_prompt_length)
    said = _together(_given(ask.options), _with_linked(typed.options, ask.linked))
    card = find_card(settings, said.get("model", ""))
    style = styles_at(app, ask.where.guild_id).find(said.get("style", ""))
    said = {"aspect": (card.width, card.height), "count": 1} | said | {"model": card.name, "style": style.name}
    new = new_job(settings, ask, typed.idea, plain_request(settings, card, typed.idea))
    for option in OPTIONS:
        if option.name in said:
            new = option.kept.put(new, said[option.name], settings)
    negative = ", ".join(filter(None, (new.request.negative_prompt, style.negative)))
    most = too_long(typed.idea, None if card.chunks else card.max_tokens)
    notes = {**new.notes, TOO_LONG: most} if most else new.notes
    if card.edits and new.request.init_image:  # what is to change is said by the member's words alone
        new = replace(new, expand="off")
    return replace(new, request=replace(new.request, negative_prompt=negative), notes=notes)


def plain_request(settings: Settings, card: ModelCard, idea: str) -> GenerationRequest:
    """The request for an idea with every option at its default, from a random seed."""
    return GenerationRequest(
        prompt=idea,
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=min(card.num_inference_steps, settings.max_steps),
        guidance_scale=card.guidance_scale,
        seed=secrets.randbelow(SEEDS),
    )


def new_job(settings: Settings, ask: Ask, idea: str, request: GenerationRequest, **more: Any) -> NewJob:
    """A request of this member at this place."""
    return NewJob(
        idea=idea,
        request=request,
        user_id=ask.user_id,
        where=ask.where,
        locale=ask.locale,
        weight=weight_of(settings, ask.where.role_ids),
        input_name=ask.image_name[:MAX_NAME],
        is_spoiler=ask.is_spoiler,
        parent_id=ask.remix_of,
        action=Action.REMIX if ask.remix_of else None,
        **more,
    )


def as_model_leaves_out(app: App, card: ModelCard, new: NewJob) -> NewJob:
    """The request without its style's negative prompt if the model supports none.

    Raises:
        BadOption: the member's own negative prompt is not supported by the model.
    """
    request = new.request
    if not request.negative_prompt or card.can_leave_out(request.guidance_scale):
        return new
    if styles_at(app, new.where.guild_id).own_negative(new.style, request.negative_prompt):
        if card.leaves_out:
            sentence = _(
                "The model {model} leaves something out only with a guidance over 1; ask again with more guidance, or "
                "without a negative prompt (--no).",
                model=card.name,
            )
            raise BadOption(sentence)
        others = [name for name, other in app.settings.offered.items() if _can_instead(other)]
        instead = _(", or with the model {model}", model=others[0]) if others else ""
        sentence = _(
            "The model {model} cannot leave things out; ask again without a negative prompt (--no){instead}.",
            model=card.name,
            instead=instead,
        )
        raise BadOption(sentence)
    return replace(new, request=replace(request, negative_prompt=""), notes={**new.notes, LEFT_OUT: True})


def _can_instead(other: ModelCard) -> bool:
    """Whether a model leaves things out, and paints pictures from words alone."""
    return other.leaves_out and not other.needs_picture and not other.video


def find_card(settings: Settings, name: str) -> ModelCard:
    """The card of an offered model, the default one for an empty name; raises UnknownModel."""
    cards = settings.cards
    card = cards.get(named(name, cards) or "") if name else settings.default_card
    if card and not card.problem:
        return card
    names = settings.offered
    offered = _("choose one of: {names}", names=some(names)) if names else _("no other one is offered")
    if card:
        problem = _(card.problem)
        raise UnknownModel(
            _("The model {model} {problem}; {offered}.", model=card.name, problem=problem, offered=offered)
        )
    raise UnknownModel(_("That model is not offered here; {offered}.", offered=offered))


def check_limits(settings: Settings, card: ModelCard, new: NewJob) -> None:
    """Raise BadOption if a request exceeds the operator's limits or the model's abilities."""
    request, said = new.request, values(new, new.request)
    if why := unsupported.frames(card, request):
        raise BadOption(why)
    for option in OPTIONS:
        if option.name in said:
            option.check(said[option.name], settings, card)
    check_loras(card, request)
    if why := refused_together(card, request):
        raise BadOption(stored(why))
    if card.most_steps and request.num_inference_steps > card.most_steps:
        raise BadOption(
            _(
                "The model {model} is made for few steps, at most {most}; ask for fewer.",
                model=card.name,
                most=card.most_steps,
            )
        )
    if request.guided and request.guidance_scale <= 1:
        raise BadOption(_("The option guided needs a guidance over 1; ask again with more guidance or without it."))
    if (request.steering or request.stop_after) and not card.steers:
        raise BadOption(
            _("The model {model} cannot repeat what was changed while it was painted; use Remix.", model=card.name)
        )
    if card.needs_picture and not request.init_image:
        raise BadOption(_("The model {model} changes pictures; give it one with the option image.", model=card.name))
    if request.strength is not None and not request.init_image:
        raise BadOption(_("The option strength says how much of a picture may change; give one with the option image."))
    if request.width * request.height > settings.max_pixels:
        raise BadOption(
            _("That size is over the limit of {most} pixels; ask for a smaller one.", most=settings.max_pixels)
        )
    if request.width % card.multiple_of or request.height % card.multiple_of:
        sentence = _(
            "Width and height must be multiples of {number} for the model {model}.",
            number=card.multiple_of,
            model=card.name,
        )
        raise BadOption(sentence)
    if request.finish:
        _check_finish(request, request.finish)


def check_seen(app: App, card: ModelCard, new: NewJob) -> None:
    """Raise BadOption for what the model was seen to do nothing with, when it was used before."""
    if new.request.loras and app.measured.get(NO_LORA, card.origin):
        raise BadOption(_(NO_LORAS, model=card.name))
    if card.server and new.action is None:
        unused = in_vain(card, new.request, new.notes, app.measured.get(UNUSED, card.origin) or ())
        for option in unused:
            raise BadOption(_(NO_EFFECT, model=card.name, option=option))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the options that are not empty."""
    without_flags(options.get("negative") or "", _(FLAG_IN_NEGATIVE))
    known = by_name()
    read = {
        name: known[name].read(clean(given) if isinstance(given, str) else given) for name, given in options.items()
    }
    return {name: value for name, value in read.items() if value is not None}


def _with_linked(flags: Mapping[str, Any], linked: Mapping[str, str]) -> dict[str, Any]:
    """Flags with stored pictures in the place of links."""
    pictures = [name for name, option in by_name().items() if option.kind == OptionKind.PICTURE and name in flags]
    stored = {name: ",".join(linked.get(part, part) for part in flags[name].split(",")) for name in pictures}
    return {**flags, **stored}


def _together(given: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Options merged with flags: flags win, negative prompts are joined, and an aspect ratio overrides the size."""
    said = {**given, **flags}
    if "negative" in given and "negative" in flags:
        said["negative"] = f"{given['negative']}, {flags['negative']}"
    if "aspect" in flags:
        said.pop("size", None)
    return said


def _check_finish(request: GenerationRequest, finish: Finish) -> None:
    for sides in filter(None, (finish.crop, finish.resize)):
        check_ratio(_("crop") if sides == finish.crop else _("size"), sides)
    width, height = finish.size(request.width, request.height)
    if width * height > MOST_PIXELS:
        raise BadOption(_("The finished picture would be over {most} pixels; ask for a smaller one.", most=MOST_PIXELS))


def weight_of(settings: Settings, role_ids: Sequence[int]) -> float:
    """The queue weight of a member with these roles: the largest of their weights."""
    weights = settings.weights_of_roles
    return max((weights[role_id] for role_id in role_ids if role_id in weights), default=1.0)
