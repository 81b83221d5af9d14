"""Reads a request from the parameters in a picture file, so that it can be painted again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.limits import named, some
from limner.bot.options.ask import Ask, read
from limner.bot.options.declarations import OPTIONS
from limner.bot.options.flags import clean, too_long, without_loras
from limner.bot.options.option import OptionKind
from limner.bot.options.parameters import BLENDED
from limner.bot.options.picture_files import PictureParameters
from limner.bot.options.repeats import MADE_WITH
from limner.bot.translation import N_, _
from limner.generators.requests import ADJUSTMENTS, RESTORATIONS, Finish, GenerationRequest
from limner.generators.revisions import scheduler_class

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.storage.tables.models import Job
    from limner.generators.cards.model_card import ModelCard

NO_MODEL = N_(
    "That picture was painted by the model {model}, which is not offered here; add --model and one of: {names}."
)
FROM_ANOTHER = N_(
    "That picture was made from another one, which its file does not hold; give that one with {option} too."
)
NOT_STORED = N_(
    "That picture was made from another one, which is not stored any more; give that one with {option} too."
)
MASK_NOT_STORED = N_("That picture is an edit, and the mask of what was painted is not stored any more.")
NO_WORDS = N_("That file does not say which words its picture was painted from; give them before --from.")
PLACEHOLDER = "picture"
"""Stands for the words while the options are read, because no flag in a file's words counts."""
MOST_CHANGES = 50
"""Most changes of a prompt while one picture was painted that are read."""
FINISHED = {"Crop": "crop", "Upscale": "upscale", "Resize": "resize", "Colour": "colour", "Sharpness": "sharpen"}
"""Options by the keys that postprocessing writes; behind the value may stand by what it was done."""
OF_PICTURES = {
    "Denoising strength": ("image", "--image"),
    "Style reference weight": ("sref", "--sref"),
    "Subject reference weight": ("cref", "--cref"),
    "ControlNet": ("control", "--control"),
    BLENDED: ("blend", "--blend"),
}
"""Keys that a picture has which was made from another one, with the option and the flag for that one."""
OF_PART = ("mask", "box", "part", "keeps_rest")
"""Fields of a request that say which part of a picture is painted."""
READ = (
    BLENDED,
    "Style",
    "Idea",
    "Expanded by",
    "Schedule type",
    "Schedule",
    "Adjustments",
    "Stopped after step",
    "Refined prompt",
    "Refined seed",
    *MADE_WITH,
)
"""Keys that are read elsewhere, or say nothing that could be asked for."""

_CHANGE = re.compile(r"After step ([0-9]{1,5})")
_SPELLED = {"_k": "_karras"}
"""Ends of InvokeAI's names of samplers, and what they mean."""


@dataclass(frozen=True)
class FromPicture:
    """A request as a picture's file has it."""

    new: NewJob
    #: What the file says and is not taken over.
    left_out: tuple[str, ...]
    #: What it was painted with, by the keys of `MADE_WITH`; None for other programs' files.
    made_with: Mapping[str, str] | None


@dataclass(frozen=True)
class Originals:
    """What a picture was made from, by the log."""

    #: Hashes of pictures in the store, by the options that name them.
    pictures: Mapping[str, str]
    #: Which part of the picture to start from was painted, by the names of the request's fields.
    part: Mapping[str, Any]


def stored_originals(app: App, job: Job, ask: Ask) -> Originals:
    """The pictures that a request was made from, apart from those that are given.

    Raises:
        BadOption: one of them is not stored any more.
    """
    request = job.generation
    named = {option.name: option.kept.get(job, request) for option in OPTIONS if option.kind == OptionKind.PICTURE}
    pictures = {name: hashes for name, hashes in named.items() if hashes and not ask.options.get(name)}
    for name, hashes in pictures.items():
        flag = f"--{name}"
        if not all(map(app.images.has, hashes.split(","))):
            raise BadOption(_(NOT_STORED, option=flag))
    if "image" not in pictures:
        return Originals(pictures, {})
    if request.mask and not app.images.has(request.mask):
        raise BadOption(_(MASK_NOT_STORED))
    return Originals(pictures, {name: getattr(request, name) for name in OF_PART})


def read_request(app: App, said: PictureParameters, ask: Ask, originals: Originals | None = None) -> FromPicture:
    """The request that painted a picture; the options of ``ask`` win, and so do its words.

    Raises:
        UserError: it needs something that is not here, in one sentence.
    """
    if originals:
        ask = ask.saying(**originals.pictures)
    is_ours = said.pairs.get("Version", "").startswith("Limner ")
    words, loras = (said.prompt, []) if is_ours else without_loras(said.prompt)
    options, left_out = _options(app, said, ask, is_ours=is_ours)
    if loras:
        options["lora"] = ", ".join(filter(None, (options.get("lora"), *loras)))
    given = {name: value for name, value in ask.options.items() if value not in (None, "")}
    prompt = clean(words)
    if not (prompt or ask.text):
        raise BadOption(_(NO_WORDS))
    new = read(app, replace(ask, text=ask.text or PLACEHOLDER, options=options | given))
    if not ask.text:
        too_long(prompt, app.settings.max_prompt_length)
        idea = clean(said.pairs.get("Idea", "")) or prompt
        new = replace(new, idea=idea, prompt=prompt, expand="off", request=replace(new.request, prompt=idea))
    if originals:
        new = replace(new, request=replace(new.request, **originals.part))
    made_with = {key: said.pairs[key] for key in MADE_WITH if key in said.pairs} if is_ours else None
    return FromPicture(replace(new, request=_steered(new.request, said)), left_out, made_with)


def _options(app: App, said: PictureParameters, ask: Ask, *, is_ours: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options by name as the file has them, and the keys that cannot be taken over."""
    known = {option.key: option for option in OPTIONS if option.key}
    card = _card(app, said, ask)
    options: dict[str, Any] = {"model": card.name, "negative": said.negative} if said.negative else {"model": card.name}
    left_out: list[str] = []
    for key, text in said.pairs.items():
        if key in OF_PICTURES and not ask.options.get(OF_PICTURES[key][0]):
            if is_ours:
                raise BadOption(_(FROM_ANOTHER, option=OF_PICTURES[key][1]))
            left_out.append(key)
        elif key == "Sampler":
            if sampler := _sampler(card, said, text):
                options["sampler"] = sampler
            elif text != scheduler_class(card, None):
                left_out.append(f"{key} {text}")
        elif key in FINISHED:
            options[FINISHED[key]] = text.split(" ")[0].removesuffix("x")
        elif key in known and key not in ("Model", "Style"):
            option = known[key]
            if option.parse(text) is None:
                left_out.append(key)
            else:
                options[option.name] = text
        elif key not in READ and key not in known and not _CHANGE.fullmatch(key):
            left_out.append(key)
    return options, tuple(left_out)


def _card(app: App, said: PictureParameters, ask: Ask) -> ModelCard:
    """The model: the one that is asked for, otherwise the file's; raises BadOption if it is not offered."""
    offered = app.settings.offered
    name = ask.options.get("model") or said.pairs.get("Model", "")
    if not name:
        return app.settings.default_card
    meant = named(name, offered)
    if meant not in offered:
        raise BadOption(_(NO_MODEL, model=name[:60], names=some(offered)))
    return offered[meant]


def _sampler(card: ModelCard, said: PictureParameters, text: str) -> str:
    """The model's sampler of that name; empty if it has none."""
    schedule = said.pairs.get("Schedule type", said.pairs.get("Schedule", ""))
    name = "_".join(re.split(r"[\s_-]+", text.casefold().replace("++", "pp")))
    for end, meaning in _SPELLED.items():
        name = name.removesuffix(end) + meaning if name.endswith(end) else name
    names = (f"{name}_{schedule.casefold()}", name) if schedule else (name,)
    return next((one for one in names if one in card.samplers), "")


def _steered(request: GenerationRequest, said: PictureParameters) -> GenerationRequest:
    """The request with the changes that were made while it was painted, and what was done to the finished picture."""
    changes = [(int(step[1]), clean(text)) for key, text in said.pairs.items() if (step := _CHANGE.fullmatch(key))]
    stopped = said.pairs.get("Stopped after step", "")
    names = tuple(name for name in said.pairs.get("Adjustments", "").split() if name in (*RESTORATIONS, *ADJUSTMENTS))
    if names:
        request = replace(request, finish=replace(request.finish or Finish(), adjustments=names))
    return replace(
        request,
        steering=tuple(sorted(changes)[:MOST_CHANGES]),
        stop_after=int(stopped) if stopped.isdecimal() and 0 < int(stopped[:6]) < request.num_inference_steps else None,
    )
